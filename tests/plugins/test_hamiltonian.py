"""Trajectories towards the true posterior: in closed form where it is normal, and better than any normal's
independent coordinates.
"""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from lvmbench import DataSummary, LatentVariableModel, Stream, Terms
from lvmbench.combinations.given import combine
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import capabilities, refusal
from lvmbench.kernels.hmc import leapfrog
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.posteriors import hamiltonian
from lvmbench_plugins.posteriors.gaussian import Gaussian
from lvmbench_plugins.posteriors.hamiltonian import Hamiltonian, _Pull
from lvmbench_plugins.priors.standard_normal import StandardNormal

CATALOGUE = load_catalogue()
F64 = torch.float64


def noise(seed=0):
    return Stream.seeded(seed, dtype=F64)


def model(posterior=Hamiltonian, **options):
    """A linear-Gaussian model of two latents that depend on each other given x."""
    torch.manual_seed(0)
    data = DataSummary((4,), "real", torch.zeros(4))
    prior = StandardNormal(data, 2)
    decoder = LinearGaussian(data, prior.space, noise=0.5)
    with torch.no_grad():
        decoder.weight.copy_(torch.tensor([[1.0, 0.8], [0.9, 1.0], [0.7, 0.5], [0.4, 0.8]]))
    q = posterior(data, prior.space, hidden=16, layers=1, **options)
    return LatentVariableModel(prior, q, decoder).double()


def data_of(built, count=40):
    return built.generate(noise(1), count)


@pytest.mark.parametrize("none", ["steps", "iterations"])
def test_without_steps_it_is_the_amortised_posterior_bit_for_bit(none):
    plain, built = model(Gaussian), model(**{none: 0})
    x = data_of(plain)
    terms = [Terms(of, x, noise(), 3) for of in (plain, built)]
    for name in ("z", "log_q", "log_likelihood"):
        assert torch.equal(*(getattr(t, name) for t in terms))
    assert type(terms[0].q) is type(terms[1].q)
    assert built.posterior.provides == plain.posterior.provides == {"amortized"}


def still(built):
    """With velocities that are standard normal before, and as r has it after, whatever x and z."""
    with torch.no_grad():
        for normal in (*built.posterior.forth, *built.posterior.back):
            normal.network.linears[-1].weight.zero_(), normal.network.linears[-1].bias.zero_()
    return built


def closed_form(built, x):
    """The gap of a trajectory of a normal target, KL(q(z_1, v') || p(z|x) N(v'; 0, I)):
    by the matrix of a leapfrog step, as kick, drift, kick.
    """
    truth, q = built.exact_posterior(x), built.posterior
    mean, log_scale = q.network(x).unbind(-2)
    precision = torch.cholesky_inverse(truth.scale_tril).expand(len(x), 2, 2)
    step, zeros, ones = q.log_step[0].exp() * log_scale.exp(), torch.zeros_like(mean), torch.ones_like(mean)
    kick, drift = (torch.eye(4, dtype=F64).repeat(len(x), 1, 1) for _ in range(2))
    kick[:, 2:, :2], drift[:, :2, 2:] = -0.5 * step.unsqueeze(-1) * precision, step.diag_embed()
    way = torch.linalg.matrix_power(kick @ drift @ kick, q.steps)
    start, centre = torch.cat([mean, zeros], -1), torch.cat([truth.loc.expand_as(mean), zeros], -1)
    root = way * torch.cat([log_scale.exp(), ones], -1).unsqueeze(-2)
    loc = centre + (way @ (start - centre).unsqueeze(-1)).squeeze(-1)
    covariance = torch.linalg.inv(precision), torch.eye(2, dtype=F64).expand(len(x), 2, 2)
    due = torch.stack([torch.block_diag(*pair) for pair in zip(*covariance, strict=True)])
    return kl_divergence(MultivariateNormal(loc, root @ root.mT), MultivariateNormal(centre, due))


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.statistical("log p(x) less the bound with its closed form", "of the 20,000 draws")
def test_the_gap_of_a_normal_target_is_the_closed_form(steps, chance, monkeypatch):
    monkeypatch.setattr(hamiltonian, "STRONGEST", 1e6)  # slopes as they are
    built = still(model(steps=steps))
    with torch.no_grad():
        built.posterior.log_step.copy_(torch.tensor([[0.2, 0.4]]).log())
    x = data_of(built, 5)
    log_w = Terms(built, x, noise(), 20_000).log_w()
    chance.agrees(built.exact_log_prob(x) - log_w, closed_form(built, x))


@pytest.mark.statistical(
    "the mean weight with p(x)", "of the 20,000 draws, with a start that is wide, so that none is large"
)
def test_weights_average_to_the_evidence(chance):
    """Of two trajectories whose slopes are bounded, and of velocities that depend on x and z."""
    built = model(steps=3, iterations=2)
    x = torch.zeros(2, 4, dtype=F64)  # where untrained means are near the true ones
    log_w = Terms(built, x, noise(), 20_000).log_w() - built.exact_log_prob(x)
    chance.agrees(log_w.exp(), 1.0)


def test_a_trajectory_keeps_volume_by_whatever_force():
    """Far from the target, where slopes are bounded."""
    pull = _Pull(lambda z: -(z.square().sum(-1) ** 2), torch.full((2,), 3.0, dtype=F64))

    def end(both):
        z, v = both.unsqueeze(0).split(2, -1)
        place, v = leapfrog(pull, pull.at(z), v, torch.full((1,), 0.3, dtype=F64), 3)
        return torch.cat([place.z, v], -1)[0]

    jacobian = torch.autograd.functional.jacobian(end, torch.tensor([3.0, -2.0, 0.5, 1.0], dtype=F64))
    torch.testing.assert_close(jacobian.det(), torch.ones((), dtype=F64))


def test_no_trajectory_runs_away():
    """Of steps that are far too long, where slopes grow with distance: 100 standard deviations at most."""
    pull = _Pull(lambda z: -1e4 * (z.square().sum(-1) ** 2), torch.ones(2))
    place, v = leapfrog(pull, pull.at(torch.full((1, 2), 5.0)), torch.ones(1, 2), torch.ones(1), 4)
    assert place.z.abs().max() < 100
    assert v.abs().max() < 100


def trained(steps, x, seed=0):
    """A model whose posterior alone was trained, on data that it is measured on, too."""
    built, stream = model(steps=steps), noise(2)
    optimizer = torch.optim.Adam(built.posterior.parameters(), 2e-2)
    for _ in range(200):
        optimizer.zero_grad()
        (-Terms(built, x, stream, 4).log_w().mean()).backward()
        optimizer.step()
    return built


@pytest.mark.statistical(
    "the gap, with half of that of the best normal with independent coordinates", "of 4,000 draws"
)
def test_it_comes_closer_than_the_best_normal_with_independent_coordinates(chance):
    x = data_of(model())
    built = trained(1, x)
    precision = torch.cholesky_inverse(built.exact_posterior(x).scale_tril.reshape(-1, 2, 2)[0])
    best = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    gaps = (built.exact_log_prob(x) - Terms(built, x, noise(3), 4000).log_w()).mean(1)
    chance.ordered(gaps.mean(), best / 2, gaps.std() / len(gaps) ** 0.5)


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
    reason, provided = tried(objective=objective, estimator=estimator)
    assert reason is None if lacking is None else lacking in reason
    assert {"posterior.estimate", "posterior.weights", "posterior.reads_model"} <= provided


@pytest.mark.parametrize(
    ("prior", "options", "lacking"),
    [
        ("bernoulli", "", "prior.real"),
        ("vamp[components=3]", "", "posterior.amortized"),
        ("vamp[components=3]", ",steps=0", None),
        ("hierarchy", "", None),
    ],
)
def test_which_priors_it_goes_with(prior, options, lacking):
    reason, _ = tried(prior=prior, posterior=f"hamiltonian[hidden=8{options}]")
    assert reason is None if lacking is None else lacking in reason


def tried(estimator=None, **parts):
    """Why a combination is refused, if it is, and what it provides."""
    given = {
        "dataset": "linear_gaussian[train=50]",
        "prior": "standard_normal",
        "posterior": "hamiltonian[hidden=8]",
        "decoder": "linear_gaussian",
        "objective": "elbo",
        **parts,
    }
    catalogue, combination = combine(CATALOGUE, given, estimator, 2)
    data = catalogue.build("dataset", combination["dataset"]).load()
    built = build(catalogue, combination, data, seed=0)
    return refusal(data, built, combination), capabilities(data, built)
