"""The split of the gap against linear-Gaussian models, where the best diagonal normal is known."""

import dataclasses
import functools
import itertools
import math

import pytest
import torch

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Posterior,
    Refusal,
    Split,
    Stream,
    Subject,
)
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators._local import Planar, windows
from lvmbench_plugins.evaluators.gap_split import GapSplit
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.posteriors.low_rank_gaussian import LowRankGaussian
from lvmbench_plugins.posteriors.planar import Planar as PlanarFlow
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal

STATED = "stated, of the draws; the rule of the ascent leaves 0.005"


class Off(Posterior):
    """The best normal with independent coordinates, moved by a share of its scale and widened
    by the exponential of another.
    """

    distribution = DiagonalNormal

    def __init__(self, data, space, moved=0.5, widened=0.25):
        super().__init__()
        self.moved, self.widened = moved, widened

    def forward(self, x, model):
        truth = model.exact_posterior(x)
        best = -0.5 * precision(model, x).diagonal(dim1=-2, dim2=-1).log()
        return DiagonalNormal(truth.loc + self.moved * best.exp(), (best + self.widened).expand_as(truth.loc))

    def loss(self, model, x):
        """KL of the move and of the width, in closed form, beyond that of the best."""
        matrix = precision(model, x)
        shift = self.moved * matrix.diagonal().rsqrt()
        width = len(matrix) * (0.5 * (math.exp(2 * self.widened) - 1) - self.widened)
        return width + 0.5 * (shift @ matrix @ shift).item()


def precision(model, x):
    """Of the true posterior, ``(D, D)``: the same for all data."""
    factor = model.exact_posterior(x).scale_tril
    return torch.cholesky_inverse(factor.reshape(-1, *factor.shape[-2:])[0])


def linear(posterior=Off, prior=StandardNormal):
    torch.manual_seed(0)
    summary = DataSummary((8,), "real", torch.zeros(8))
    p = prior(summary, 4)
    decoder = LinearGaussian(summary, p.space, noise=0.5)
    model = LatentVariableModel(p, posterior(summary, p.space), decoder).eval()
    x = model.generate(Stream.seeded(1, "data"), 50)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, Elbo(), {}, data, seed=0, provides=frozenset({"model.exact_posterior"}))


def measure(subject, **options):
    return {(m.metric, m.variant): m for m in GapSplit(**options).evaluate(subject)}


def closed_form(subject):
    """The least KL divergence of a diagonal normal from the true posterior:
    variances are 1 / diag(precision).
    """
    matrix = precision(subject.model, subject.x)
    return 0.5 * (matrix.diagonal().log().sum() - torch.logdet(matrix)).item()


def held(chance, figure, truth, tolerance=0.005):
    """Whether it is true within its own error and what the rule of the ascent leaves,
    as arguments of ``proof``.
    """
    assert figure.stderr < 0.01
    return figure.value, truth, chance.allowed(figure.stderr) + tolerance


@pytest.mark.parametrize(("moved", "widened"), [(0.5, 0.25), (0.0, 0.0), (-2.0, 0.5), (0.0, -1.0)])
@pytest.mark.statistical("both parts of the gap with their closed form", STATED, comparisons=2)
def test_split_of_a_diagonal_normal_is_the_closed_form(moved, widened, proof, chance):
    subject = linear(functools.partial(Off, moved=moved, widened=widened))
    found = measure(subject, samples=4000)
    against = f"the best diagonal normal, from one moved by {moved} and widened by {widened}"
    approximation, amortization = found["approximation_gap", "same"], found["amortization_gap", "same"]
    proof("gap split, approximation", against, *held(chance, approximation, closed_form(subject)))
    truth = subject.model.posterior.loss(subject.model, subject.x)
    chance.within(amortization.value, truth, amortization.stderr, slack=0.005)
    assert found["ascent_converged", "same"].value == 1


@pytest.mark.statistical("the approximation gap with its closed form", STATED)
def test_a_constant_start_comes_to_the_same(proof, chance):
    subject = linear()
    found = measure(subject, start="constant", draws=5, samples=2000)
    truth = closed_form(subject)
    against = "the best diagonal normal, from the constant start"
    proof("gap split, approximation", against, *held(chance, found["approximation_gap", "same"], truth))
    assert found["ascent_converged", "same"].value == 1


@pytest.mark.statistical(
    "the approximation gap with its closed form", "stated, of the draws and what the ascent lacks"
)
def test_an_ascent_that_is_cut_off_says_so(chance):
    """From far away: its figures are short by nats, and so are their errors."""
    subject = linear()
    found = measure(subject, start="constant", steps=200, draws=5)
    gap = found["approximation_gap", "same"]
    assert found["ascent_steps", "same"].value == 200
    assert found["ascent_converged", "same"].value == 0
    assert found["ascent_gain", "same"].value > 0.1
    chance.within(gap.value, closed_form(subject), gap.stderr)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("family", ["same", "full", "flow"])
def test_parts_sum_to_the_gap(family, known):
    subject = linear() if known else dataclasses.replace(linear(), provides=frozenset())
    found = measure(subject, family=family, steps=50)
    total = found["approximation_gap", family].per_datum + found["amortization_gap", family].per_datum
    torch.testing.assert_close(total.double(), found["gap", ""].per_datum.double(), atol=1e-4, rtol=0)
    assert found["gap", ""].method == found["log_likelihood", ""].method
    assert (found["gap", ""].method == "exact") == known


def test_a_full_covariance_is_the_true_posterior_to_rounding():
    """The gradients have no noise where q is the true posterior,
    so that the ascent ends there and nowhere else.
    """
    found = measure(linear(), family="full", draws=5)
    assert abs(found["approximation_gap", "full"].value) < 1e-4
    assert found["ascent_converged", "full"].value == 1


def test_planar_maps_close_the_approximation_gap():
    subject = linear()
    found = measure(subject, family="flow", steps=280, draws=5)
    assert found["approximation_gap", "flow"].value < closed_form(subject) - 0.3


@pytest.mark.slow
def test_parameters_of_an_amortised_posterior_are_freed(proof):
    """With as many directions as there are latents the family has the true posterior,
    wherever the network is: no gap is left.
    """
    subject = linear(lambda data, space: LowRankGaussian(data, space, rank=4, hidden=8))
    found = measure(subject, rate=0.1, draws=5)
    gap = found["approximation_gap", "same"].value
    proof("gap split, approximation", "low-rank normals that have the true posterior", gap, 0.0, 0.005)
    assert found["amortization_gap", "same"].value > 1


@pytest.mark.parametrize(("posterior", "prior"), [(PlanarFlow, StandardNormal), (Exact, MixturePrior)])
@pytest.mark.statistical("what planar maps gain with 0", "stated, of the draws")
def test_planar_maps_begin_at_the_posterior_and_never_end_below(posterior, prior, chance):
    """Where its parameters can be freed, a flow's, and where they cannot,
    a mixture's that has no gap to close.
    """
    subject = linear(posterior, prior)
    found = measure(subject, family="flow", steps=1, rate=1e-9)
    assert abs(found["amortization_gap", "flow"].value) < 1e-4
    gain = measure(subject, family="flow", steps=10, draws=5)["amortization_gap", "flow"]
    chance.within(-gain.value, 0.0, gain.stderr, above=True)


def test_slope_of_planar_maps_is_that_of_their_log_density():
    """J' slope = d log q / dz at the base, of whose two parts one is the base's own."""
    draw = functools.partial(
        torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    loc, log_scale, (u, w), b = draw(3, 4), draw(3, 4), draw(2, 3, 5, 4), draw(3, 5)
    q = Planar(DiagonalNormal(loc, log_scale), (draw(3, 4), draw(3, 4).exp()), u, w, b)
    noise = functools.partial(Stream.seeded, 1, dtype=torch.float64)
    z, log_q, slope = q.sample_with_slope(noise(), 1)
    (through,) = torch.autograd.grad((z * slope).sum(), loc, retain_graph=True)
    (steps,) = torch.autograd.grad(log_q.sum(), loc)
    torch.testing.assert_close(through, steps - noise().normal((1, 3, 4))[0] / log_scale.exp())


@pytest.mark.parametrize(("temperatures", "method"), [(0, "importance"), (1, "ais"), (40, "ais")])
@pytest.mark.statistical("log p(x) with the exact one", "stated, of the draws")
def test_what_finds_log_p_does_not_depend_on_what_is_found(temperatures, method, chance):
    """From a posterior wide enough for bounded weights.

    One temperature is importance sampling from the prior.
    """
    subject = linear(functools.partial(Off, moved=0.0, widened=0.5))
    exact = measure(subject, steps=40)["log_likelihood", ""]
    found = measure(dataclasses.replace(subject, provides=frozenset()), steps=40, temperatures=temperatures)
    assert {m.method for (metric, _), m in found.items() if metric in ("log_likelihood", "gap")} == {method}
    log_p = found["log_likelihood", ""]
    if temperatures == 1:  # nats below, by an error that is not known
        assert log_p.value < exact.value - 1
    else:
        chance.within(log_p.value, exact.value, log_p.stderr)


def test_true_posterior_leaves_nothing_to_split():
    found = measure(linear(Exact), steps=20)
    for key in (("gap", ""), ("approximation_gap", "same"), ("amortization_gap", "same")):
        assert abs(found[key].value) < 5e-3


def test_families_without_free_parameters_are_refused():
    subject = linear(Exact, MixturePrior)
    with pytest.raises(Refusal, match=r"Exact is neither; take family=full or family=flow"):
        measure(subject)
    assert measure(subject, family="full", steps=5)["gap", ""].value < 1e-3


def test_windows_double_and_use_all_steps():
    for most in (1, 39, 40, 119, 120, 1500):
        lengths = windows(most)
        assert sum(lengths) == most
        assert all(b >= 2 * a for a, b in itertools.pairwise(lengths))
