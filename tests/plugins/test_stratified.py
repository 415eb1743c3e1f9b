"""Mixtures of normals as posterior, and the expectation over them component by component."""

import math

import pytest
import torch
from torch import nn

from lvmbench import (
    Bernoulli,
    DataSummary,
    DiagonalNormal,
    LatentSpace,
    LatentVariableModel,
    Mixture,
    Posterior,
    Stream,
    Terms,
    UserError,
)
from lvmbench.checks.specimen import TOY
from lvmbench.combinations.given import combine
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import refusal
from lvmbench.distributions import traits_of
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.estimators.stratified import Stratified
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.dlgmm import Dlgmm
from lvmbench_plugins.posteriors.gaussian import Gaussian

CATALOGUE = load_catalogue()
DATA, SPACE = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0])), LatentSpace((2,))
X = torch.linspace(-1, 1, 15).reshape(5, 3)
DRAWS = 20_000


class TwoNormals(Posterior):
    """q(z|x) = sum_c pi_c N(m_c, s_c^2) for every x; weights are the logits of pi, m and log s."""

    distribution = Mixture[DiagonalNormal]

    def __init__(self):
        super().__init__()
        start = [0.3, -0.6, 0.4, 1.2, -0.5, -0.2]
        self.weights = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, x, model):
        logits, loc, log_scale = self.weights.view(3, 2)
        shape = (len(x), 2, 1)
        normals = DiagonalNormal(loc.view(1, 2, 1).expand(shape), log_scale.view(1, 2, 1).expand(shape))
        return Mixture(logits.expand(len(x), 2), normals)


@pytest.fixture
def two(line):
    """The one-dimensional model with two normals as posterior."""
    model = LatentVariableModel(line.model.prior, TwoNormals(), line.model.decoder)
    return line._replace(model=model)


def fit_of(two):
    """E_q log p(x|z) in closed form, and its gradient in the weights of q and in that of the decoder."""
    logits, loc, log_scale = two.model.posterior.weights.view(3, 2)
    w = two.model.decoder.weight
    off = (two.x - w * loc).square() + (w * log_scale.exp()).square()
    value = -0.5 * (logits.softmax(0) * off).sum() - 0.5 * math.log(2 * math.pi)
    found = torch.autograd.grad(value, [two.model.posterior.weights, w])
    return value, torch.cat([found[0], found[1].unsqueeze(0)])


def test_one_component_is_the_gaussian():
    raw = torch.randn(5, 4)
    q, normal = Dlgmm(DATA, SPACE, components=1).of(raw), Gaussian(DATA, SPACE).of(raw.view(5, 2, 2))
    z = torch.randn(6, 5, 2)
    torch.testing.assert_close(q.log_prob(z), normal.log_prob(z))
    torch.testing.assert_close(q.mean, normal.mean)


def test_with_one_component_strata_are_the_pathwise_samples(linear_model, points):
    model = linear_model("dlgmm[components=1,hidden=8]")
    normal = linear_model("gaussian[hidden=8]")
    normal.load_state_dict(model.state_dict())
    ours, theirs = (
        estimator(Elbo(samples=3), built, points, Stream.seeded(0, dtype=torch.float64))
        for estimator, built in ((Stratified(), model), (Pathwise(), normal))
    )
    torch.testing.assert_close(ours.bound, theirs.bound)
    ours, theirs = (
        torch.autograd.grad(
            e.surrogate.sum(), list(m.parameters()), materialize_grads=True, allow_unused=True
        )
        for e, m in ((ours, model), (theirs, normal))
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("components", [2, 5])
def test_weights_begin_equal_and_are_those_of_a_stick(components):
    posterior = Dlgmm(DATA, SPACE, components=components)
    size = components * 4
    q = posterior.of(torch.zeros(7, size + components - 1))
    torch.testing.assert_close(q.log_weights.exp(), torch.full((7, components), 1 / components))
    raw = torch.randn(7, size + components - 1)
    v = (raw[:, size:] - torch.arange(components - 1, 0, -1).log()).sigmoid()
    left = torch.cat([torch.ones(7, 1), (1 - v).cumprod(1)], 1)
    due = torch.cat([v, torch.ones(7, 1)], 1) * left
    torch.testing.assert_close(posterior.of(raw).log_weights.exp(), due)


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_latents_of_any_shape(shape):
    q = Dlgmm(DATA, LatentSpace(shape), components=3)(X, None)
    z, log_q = q.sample_and_log_prob(Stream.seeded(0), 4)
    assert (z.shape, log_q.shape, q.mean.shape) == ((4, 5, *shape), (4, 5), (5, *shape))
    strata, log_weights = q.strata(Stream.seeded(0), 4)
    assert (strata.shape, log_weights.shape) == ((4, 3, 5, *shape), (3, 5))


def test_strata_are_samples_of_each_component():
    loc = torch.tensor([[-100.0], [0.0], [100.0]]).expand(7, 3, 1)
    q = Mixture(torch.tensor([0.2, 0.3, 0.5]).log().expand(7, 3), DiagonalNormal(loc, torch.zeros(())))
    strata, log_weights = q.strata(Stream.seeded(0), 4)
    assert torch.equal(q.assign(strata).argmax(-1), torch.arange(3).view(1, 3, 1).expand(4, 3, 7))
    torch.testing.assert_close(log_weights.exp()[:, 0], torch.tensor([0.2, 0.3, 0.5]))
    with pytest.raises(NotImplementedError, match="'strata'"):
        q.components.strata(Stream.seeded(0), 4)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.statistical("the mean gradient with its closed form", "of the 20,000 draws")
def test_mean_gradient_is_the_closed_form(two, samples, chance):
    _, due = fit_of(two)
    chance.agrees(two.gradients(Elbo(samples=samples, beta=0.0), Stratified(), DRAWS), due)


@pytest.mark.statistical("the bound with its closed form", "of the 20,000 draws")
def test_bound_is_the_expectation(two, chance):
    x = torch.full((DRAWS, 1), two.x, dtype=torch.float64)
    with torch.no_grad():
        found = Stratified()(Elbo(beta=0.0), two.model, x, Stream.seeded(0, "bound", dtype=torch.float64))
    chance.agrees(found.bound, fit_of(two)[0])


@pytest.mark.statistical("mean gradients of two estimators", "of the 20,000 draws of each")
def test_mean_gradient_is_that_of_the_score(two, chance):
    """With the entropy of the mixture, which has no closed form."""
    one, other = (two.gradients(Elbo(), e, DRAWS) for e in (Stratified(), Score(*TOY)))
    chance.agrees(one - other)


@pytest.mark.parametrize("baseline", ["none", "leave_one_out"])
@pytest.mark.statistical("variances of two estimators, in order", "of the 20,000 squares")
def test_variance_is_below_that_of_the_score(two, baseline, chance):
    """Of the posterior's gradient, with as many evaluations of the model: two samples of the score."""
    one = two.gradients(Elbo(), Stratified(), DRAWS)[:, :6]
    other = two.gradients(Elbo(samples=2), Score(*TOY, baseline=baseline), DRAWS)[:, :6]
    difference = ((other - other.mean(0)).square() - (one - one.mean(0)).square()).sum(1)
    chance.ordered(0.0, difference.mean(), difference.std() / math.sqrt(DRAWS))


def test_the_log_density_of_the_strata_is_that_of_the_mixture(two):
    x = torch.full((4, 1), two.x, dtype=torch.float64)
    found = Stratified()(Elbo(samples=2), two.model, x, Stream.seeded(0, dtype=torch.float64), 0.3)
    q = two.model.q(x)
    z, log_weights = q.strata(Stream.seeded(0, dtype=torch.float64), 2)
    due = 0
    for c in range(2):
        terms = Terms.at(two.model, x, z[:, c], Stream.seeded(0))
        due = due + log_weights[c].exp() * terms.log_w(0.3).mean(0)
    torch.testing.assert_close(found.bound, due)


def test_only_mixtures_of_what_carries_gradients_have_strata():
    assert "strata" in traits_of(Mixture[DiagonalNormal])
    assert "strata" not in traits_of(Mixture[Bernoulli])
    assert "strata" not in traits_of(DiagonalNormal)


PARTS = {
    "dataset": "blobs",
    "prior": "standard_normal",
    "posterior": "dlgmm",
    "decoder": "linear_gaussian",
    "objective": "elbo",
}


@pytest.mark.parametrize(
    ("changes", "estimator", "missing"),
    [
        ({}, "stratified", None),
        ({}, "score[baseline=network]", None),
        ({"objective": "iwae"}, "vimco", None),
        ({"objective": "elbo[free_bits=0.1]"}, "score", None),
        ({}, "pathwise", "posterior.pathwise"),
        ({}, "blend", "posterior.pathwise"),
        ({}, "stl", "posterior.pathwise"),
        ({"objective": "iwae"}, "dreg", "posterior.pathwise"),
        ({"objective": "iwae"}, "stratified", "objective.additive"),
        ({"objective": "elbo[free_bits=0.1]"}, "stratified", "objective.additive"),
        ({"posterior": "gaussian"}, "stratified", "posterior.strata"),
        ({"prior": "bernoulli"}, "stratified", "prior.real"),
        ({"objective": "elbo[kl=analytic]"}, "stratified", "model.analytic_kl"),
    ],
)
def test_what_goes_together(changes, estimator, missing):
    catalogue, combination = combine(CATALOGUE, {**PARTS, **changes}, estimator, 2)
    data = catalogue.build("dataset", combination["dataset"]).load()
    reason = refusal(data, build(catalogue, combination, data, 0), combination)
    assert (reason is None) if missing is None else (f"requires {missing}" in reason)


def test_no_components_are_refused():
    with pytest.raises(UserError, match="'components' should be greater than or equal to 1, got 0"):
        combine(CATALOGUE, {**PARTS, "posterior": "dlgmm[components=0]"}, None, 2)
