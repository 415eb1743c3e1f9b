"""A normal mixed over a normal auxiliary variable: its density, and what is known of it, in closed form."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Marginal,
    MultivariateNormal,
    Posterior,
    Split,
    Stream,
    Subject,
    Terms,
    analytic_kl,
)
from lvmbench.combinations.given import combine
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import capabilities, model_capabilities, refusal
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.evaluators.informativeness import Informativeness
from lvmbench_plugins.evaluators.tightness import Tightness
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.priors.standard_normal import StandardNormal

CATALOGUE = load_catalogue()
WAY = torch.tensor([0.8, -0.5], dtype=torch.float64)
NOISE = 0.4
PRECISION = 1 + (WAY.square().sum() / NOISE**2).item()


class Mixed(Posterior):
    """q(a) = N(0, 1) and q(z|x, a) = N(x + w a, s^2), with the true reverse model moved
    and widened by its weights.
    """

    distribution = Marginal
    provides = frozenset({"amortized"})

    def __init__(self, shift=0.0, log_ratio=0.0):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([shift, log_ratio], dtype=torch.float64))

    def forward(self, x, model):
        zeros, log_noise = x.new_zeros(len(x), 1), torch.full_like(WAY, NOISE).log()
        return Marginal(
            DiagonalNormal(zeros, zeros),
            lambda a: DiagonalNormal(x[:, :2] + a * WAY, log_noise),
            partial(self.reverse, x),
        )

    def reverse(self, x, z):
        shift, log_ratio = self.weights
        mean = ((z - x[:, :2]) @ WAY).unsqueeze(-1) / NOISE**2 / PRECISION
        log_scale = -0.5 * math.log(PRECISION) + log_ratio
        return DiagonalNormal(mean + shift * PRECISION**-0.5, log_scale)


def marginal(x):
    """q(z|x) with a integrated out."""
    covariance = torch.outer(WAY, WAY) + NOISE**2 * torch.eye(2).double()
    return MultivariateNormal(x[:, :2], torch.linalg.cholesky(covariance))


def apart(shift, log_ratio):
    """KL(N(0, 1) || N(shift, ratio^2)) and the reverse: of q(a|x, z) and r, which differ alike at every z."""
    one = log_ratio + (1 + shift**2) / (2 * math.exp(2 * log_ratio)) - 0.5
    return one, -log_ratio + (math.exp(2 * log_ratio) + shift**2) / 2 - 0.5


def model(posterior):
    torch.manual_seed(0)
    data = DataSummary((3,), "real", torch.zeros(3))
    prior = StandardNormal(data, 2)
    return LatentVariableModel(prior, posterior, LinearGaussian(data, prior.space)).double().eval()


def noise(*words):
    return Stream.seeded(0, *words, dtype=torch.float64)


WRONG = 0.5, 0.3
"""How far the reverse model is moved and widened, in standard deviations of the true one."""


def test_with_the_true_reverse_model_both_estimates_are_the_density(points):
    q, truth = Mixed()(points, None), marginal(points)
    z, log_q = q.sample_and_log_prob(noise(), 6)
    torch.testing.assert_close(log_q, truth.log_prob(z))
    torch.testing.assert_close(q.estimate_log_prob(z, noise("other")), truth.log_prob(z))


@pytest.mark.statistical(
    "log q of own draws and of fresh ones with closed forms", "of the 20,000 draws", comparisons=2
)
def test_with_another_one_they_are_off_by_its_divergences(points, chance):
    q, truth = Mixed(*WRONG)(points, None), marginal(points)
    z, log_q = q.sample_and_log_prob(noise(), 20_000)
    above, below = apart(*WRONG)
    chance.agrees(log_q - truth.log_prob(z), above)
    chance.agrees(truth.log_prob(z) - q.estimate_log_prob(z, noise("other")), below)


@pytest.mark.statistical(
    "the mean weight of a density with 1",
    "of the 20,000 draws; r is wide, so that none is large",
)
def test_weights_average_to_the_evidence_all_the_same(points, chance):
    q, truth = Mixed(*WRONG)(points, None), marginal(points)
    z, log_q = q.sample_and_log_prob(noise(), 20_000)
    f = MultivariateNormal(truth.loc, 0.8 * truth.scale_tril)
    chance.agrees((f.log_prob(z) - log_q).exp(), 1.0)


@pytest.mark.statistical("the ELBO with that of the marginal", "of the 20,000 draws, paired")
def test_the_bound_is_lower_than_the_elbo_by_the_divergence_of_the_reverse_model(points, chance):
    built = model(Mixed(*WRONG))
    terms = Terms(built, points, noise(), 20_000)
    of_marginal = terms.log_likelihood + terms.log_prior - marginal(points).log_prob(terms.z)
    chance.agrees(of_marginal - terms.log_w(), apart(*WRONG)[0])


@pytest.mark.parametrize("weights", [WRONG, (0.0, 0.0)], ids=["another", "true"])
@pytest.mark.statistical("the reverse model's gradient with its closed form", "of 100 groups of 200 draws")
def test_the_path_trains_the_reverse_model_until_the_bound_is_tight(points, weights, chance):
    """The gradient is that of -KL(q(a|x, z) || r), which is gone where r is the truth."""
    built, stream = model(Mixed(*weights)), noise()
    shift, ratio = weights[0], math.exp(2 * weights[1])
    due = -torch.tensor([shift / ratio, 1 - (1 + shift**2) / ratio], dtype=torch.float64)
    found = []
    for _ in range(100):
        surrogate = Pathwise()(Elbo(samples=200), built, points[:1], stream).surrogate.sum()
        found += torch.autograd.grad(surrogate, [built.posterior.weights])
    chance.agrees(torch.stack(found), due)


def subject(posterior, points):
    x = points.repeat(40, 1)
    data = Data({name: Split(x) for name in ("train", "validation", "test")}, "real", "none")
    given = Subject(model(posterior), Elbo(), {}, data, seed=0)
    words = {f"posterior.{trait}" for trait in posterior.distribution.traits}
    return Subject(
        given.model, Elbo(), {}, data, seed=0, provides=frozenset(words | {"model.exact_posterior"})
    )


def measured(evaluator, given):
    return {(m.metric, m.variant): m for m in evaluator.evaluate(given)}


@pytest.mark.statistical(
    "both bounds of the rate with closed forms", "stated, of 100 draws of 200 data", comparisons=2
)
def test_the_rate_is_held_between_its_bounds(points, chance):
    given = subject(Mixed(*WRONG), points)
    found = measured(Informativeness(), given)
    truth = analytic_kl(marginal(given.x.double()), given.model.p()).mean()
    above, below = apart(*WRONG)
    assert ("rate", "") not in found
    upper, lower = found["rate", "upper"], found["rate_lower", ""]
    chance.within(upper.value, truth + above, upper.stderr)
    chance.within(lower.value, truth - below, lower.stderr)


@pytest.mark.statistical("ELBO and log p(x) with the gap", "stated, of 1,000 draws of 200 data")
def test_the_gap_is_called_an_upper_bound(points, chance):
    given = subject(Mixed(*WRONG), points)
    found = measured(Tightness(), given)
    gap, exact = found["gap", "upper"], given.model.exact_log_prob(given.x)
    truth = analytic_gap(given, exact)
    chance.within(gap.value, truth + apart(*WRONG)[0], gap.stderr)
    assert ("gap", "") not in found
    assert found["elbo", ""].value == pytest.approx(exact.mean().item() - gap.value)


class Bounded(DiagonalNormal):
    """A normal of whose log density only something larger is said."""

    traits = frozenset({"pathwise", "bound"})

    def sample_and_log_prob(self, noise, samples):
        value, log_prob = super().sample_and_log_prob(noise, samples)
        return value, log_prob + 0.3


class OnlyBounded(Posterior):
    """The prior, whose log density is bounded."""

    distribution = Bounded

    def forward(self, x, model):
        zeros = torch.zeros(len(x), 2, dtype=torch.float64)
        return Bounded(zeros, zeros)


def test_of_a_bound_of_log_q_no_weights_follow(points):
    given = subject(OnlyBounded(), points)
    assert measured(Tightness(), given).keys() == {
        ("elbo", ""),
        ("bound", ""),
        ("log_likelihood", ""),
        ("gap", "upper"),
    }
    found = measured(Informativeness(), given)
    assert found["rate", "upper"].value == pytest.approx(0.3)
    assert ("rate_lower", "") not in found
    unknown = Subject(**{**vars(given), "provides": given.provides - {"model.exact_posterior"}})
    assert measured(Tightness(), unknown).keys() == {("elbo", ""), ("bound", "")}
    provided = model_capabilities(given.data, given.model)
    assert Iwae().requires - provided == {"posterior.weights"}
    assert Elbo().requires <= provided


def analytic_gap(given, log_p):
    """KL(q(z|x) || p(z|x)) of the marginal."""
    q, truth = marginal(given.x.double()), given.model.exact_posterior(given.x)
    one, other = (
        torch.distributions.MultivariateNormal(d.loc, scale_tril=d.scale_tril.expand(len(given.x), 2, 2))
        for d in (q, truth)
    )
    return torch.distributions.kl_divergence(one, other).mean()


@pytest.mark.parametrize(
    ("objective", "estimator", "lacking"),
    [
        ("elbo", None, None),
        ("iwae", "pathwise", None),
        ("elbo", "stl", "posterior.slope"),
        ("elbo", "score", "posterior.density"),
        ("elbo[kl=analytic]", "pathwise", "model.analytic_kl"),
    ],
)
def test_what_it_may_be_trained_with(objective, estimator, lacking):
    given = {
        "dataset": "linear_gaussian[train=50]",
        "prior": "standard_normal",
        "posterior": "auxiliary[hidden=8]",
        "decoder": "linear_gaussian",
        "objective": objective,
    }
    catalogue, combination = combine(CATALOGUE, given, estimator, 2)
    data = catalogue.build("dataset", combination["dataset"]).load()
    parts = build(catalogue, combination, data, seed=0)
    reason = refusal(data, parts, combination)
    assert reason is None if lacking is None else lacking in reason
    assert {"posterior.estimate", "posterior.weights", "posterior.amortized"} <= capabilities(data, parts)
    assert estimator or str(combination["estimator"]) == "pathwise"
