"""The stick-breaking prior with the posterior that is made for it."""

import pytest
import torch
from scipy import integrate

from lvmbench import (
    DataSummary,
    DiagonalNormal,
    LatentSpace,
    LatentVariableModel,
    Prior,
    Stream,
    Terms,
    UserError,
    fit,
)
from lvmbench.combinations.given import combine
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import refusal
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.kumaraswamy import Kumaraswamy
from lvmbench_plugins.priors.stick_breaking import StickBreaking

CATALOGUE = load_catalogue()
DATA = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0]))
X = torch.linspace(-1, 1, 15).reshape(5, 3).double()
PARTS = {
    "dataset": "blobs",
    "prior": "stick_breaking",
    "posterior": "kumaraswamy",
    "decoder": "linear_gaussian",
    "objective": "elbo",
}


def model(posterior="kumaraswamy", latent=4, **options):
    prior = StickBreaking(DATA, latent, **options)
    q = CATALOGUE.build("posterior", posterior, DATA, prior.space)
    return LatentVariableModel(prior, q, LinearGaussian(DATA, prior.space.visible)).double()


def plane(density):
    """The integral of a density of two logits."""

    def at(one, other):
        return density(torch.tensor([one, other], dtype=torch.float64)).exp().item()

    return integrate.nquad(at, [(-35, 12)] * 2, opts={"epsabs": 1e-6, "epsrel": 1e-6})[0]


def test_density_of_two_sticks_integrates_to_one():
    with torch.no_grad():
        assert plane(StickBreaking(DATA, 2).double()(None).log_prob) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("concentration", [0.5, 5.0])
@pytest.mark.statistical("mean weights with their closed form", "of the 20,000 draws", comparisons=2)
def test_weights_have_the_means_of_a_stick(concentration, chance):
    """E pi_k = a^(k - 1) / (1 + a)^k, and (1 + a)^-D of the rest times a^D."""
    prior = StickBreaking(DATA, 4, concentration=concentration).double()
    with torch.no_grad():
        z = prior(None).sample(Stream.seeded(0, "sticks", dtype=torch.float64), 20_000)
        weights = prior.space.read(z)
    share = concentration / (1 + concentration)
    due = torch.tensor([share**k * (1 - share) for k in range(4)] + [share**4])
    chance.agrees(weights, due, slack=1e-6)  # the concentration is a number of single precision
    torch.testing.assert_close(weights.sum(-1), torch.ones(20_000).double())
    second = 2 / ((1 + concentration) * (2 + concentration))  # E v^2
    chance.agrees(weights[:, 0].square(), second, slack=1e-6)


@pytest.mark.parametrize("concentration", [0.1, 5.0])
def test_where_the_posterior_is_the_prior_the_bound_is_tight(concentration):
    """Kumaraswamy(1, b) is Beta(1, b); a decoder without weights leaves the prior as it is."""
    built = model(concentration=concentration)
    with torch.no_grad():
        for weight in built.posterior.parameters():
            weight.zero_()
        built.decoder.weight.zero_()
        last = [w for w in built.posterior.parameters() if w.dim() == 1][-1].view(2, 4)
        bound = torch.log(torch.tensor(1e3)).double()
        last[1] = bound * (built.prior.log_concentration / bound).atanh()
        terms = Terms(built, X, Stream.seeded(0, dtype=torch.float64), 6)
        log_p = built.decode(terms.z).log_prob(X)
        torch.testing.assert_close(terms.log_w(), log_p)
        torch.testing.assert_close(terms.kl(analytic=True), torch.zeros(5).double(), rtol=0, atol=1e-7)
        torch.testing.assert_close(Elbo()(terms), log_p[0])


@pytest.mark.statistical("the KL divergence with the average log ratio", "of the 20,000 draws")
def test_the_divergence_is_the_average_log_ratio(chance):
    built = model()
    with torch.no_grad():
        terms = Terms(built, X, Stream.seeded(0, "ratio", dtype=torch.float64), 20_000)
        chance.agrees(terms.log_q - terms.log_prior, terms.kl(analytic=True), slack=1e-7)


def test_parameters_are_held_where_single_precision_has_them():
    q = Kumaraswamy(DATA, StickBreaking(DATA, 2).space)
    raw = torch.tensor([-1e4, 1e4]).expand(3, 2, 2).clone().requires_grad_()
    found = q.of(raw)
    torch.testing.assert_close(found.log_a.exp(), torch.tensor([1e-3, 1e3]).expand(3, 2))
    z, log_q = found.sample_and_log_prob(Stream.seeded(0), 50)
    assert z.isfinite().all()
    (log_q.sum() + found.mean.sum()).backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("learned", [False, True])
def test_the_concentration_is_trained_where_that_is_asked_for(learned):
    built = model(learned=learned)
    terms = Terms(built, X, Stream.seeded(0, dtype=torch.float64), 2)
    Elbo()(terms).sum().backward()
    gradient = built.prior.log_concentration.grad
    assert (gradient is not None and bool(gradient.ne(0))) == learned


@pytest.mark.parametrize("kl", ["sampled", "analytic"])
@pytest.mark.parametrize("posterior", ["gaussian", "kumaraswamy", "iaf", "dlgmm"])
def test_posteriors_of_real_latents_serve_it(posterior, kl):
    given = {**PARTS, "posterior": posterior, "objective": f"elbo[kl={kl}]"}
    catalogue, combination = combine(CATALOGUE, given, None, 3)
    data = catalogue.build("dataset", combination["dataset"]).load()
    reason = refusal(data, build(catalogue, combination, data, 0), combination)
    assert ("model.analytic_kl" in (reason or "")) == (kl == "analytic" and posterior != "kumaraswamy")


class NormalSticks(Prior):
    """Sticks of normal logits: under a linear decoder that reads z itself the posterior would be known."""

    distribution = DiagonalNormal

    def __init__(self, *, sticks):
        super().__init__()
        self.space = LatentSpace((2,), sticks=sticks)

    space = None

    def forward(self, model):
        return DiagonalNormal(torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize("sticks", [False, True])
def test_an_exact_posterior_is_known_only_where_the_decoder_reads_z_itself(sticks):
    prior = NormalSticks(sticks=sticks)
    q = CATALOGUE.build("posterior", "gaussian", DATA, prior.space)
    built = LatentVariableModel(prior, q, LinearGaussian(DATA, prior.space.visible))
    assert ("exact_posterior" in built.provides) == (not sticks)


@pytest.mark.parametrize(
    ("option", "rule"),
    [("concentration=0", "greater than 0"), ("concentration=-1", "greater than 0"), ("learned=2", "boolean")],
)
def test_bad_options_are_refused(option, rule):
    with pytest.raises(UserError, match=rule):
        combine(CATALOGUE, {**PARTS, "prior": f"stick_breaking[{option}]"}, None, 2)


def test_no_latents_are_refused():
    with pytest.raises(UserError, match="latent should be a whole number of at least 1, got 0"):
        fit(**{"data" if k == "dataset" else k: v for k, v in PARTS.items()}, latent=0)
