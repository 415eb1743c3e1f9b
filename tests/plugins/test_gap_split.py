"""The split of the gap against linear-Gaussian models, where the best diagonal normal is known."""

import dataclasses

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
from lvmbench_plugins.evaluators.gap_split import GapSplit
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.posteriors.low_rank_gaussian import LowRankGaussian
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal


class Off(Posterior):
    """The best normal with independent coordinates, moved by half and widened by a quarter."""

    distribution = DiagonalNormal

    def __init__(self, data, space):
        super().__init__()

    def forward(self, x, model):
        truth = model.exact_posterior(x)
        best = -0.5 * precision(model, x).diagonal(dim1=-2, dim2=-1).log()
        return DiagonalNormal(truth.loc + 0.5 * best.exp(), (best + 0.25).expand_as(truth.loc))


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
    """The least KL divergence of a diagonal normal from the true posterior: variances are 1 / diag(precision)."""
    matrix = precision(subject.model, subject.x)
    return 0.5 * (matrix.diagonal().log().sum() - torch.logdet(matrix)).item()


@pytest.mark.parametrize("start", ["posterior", "constant"])
def test_split_of_a_diagonal_normal_is_the_closed_form(start, proof):
    """To 0.02 nats, and 4 standard errors of the final bound, which are about half that."""
    subject = linear()
    found = measure(subject, start=start)
    approximation = found["approximation_gap", "same"]
    assert approximation.stderr < 0.005
    against = f"the best diagonal normal, from the {start} start"
    proof("gap split, approximation", against, approximation.value, closed_form(subject), 0.02)
    # KL of the shift and of the width, in closed form, beyond that of the best
    ratio = 0.25
    widened = 4 * (0.5 * (torch.tensor(2 * ratio).exp().item() - 1) - ratio)
    matrix = precision(subject.model, subject.x)
    shift = 0.5 * matrix.diagonal().rsqrt()
    amortization = widened + 0.5 * (shift @ matrix @ shift).item()
    found_gap = found["amortization_gap", "same"].value
    proof("gap split, amortisation", f"a known shift and width, {start} start", found_gap, amortization, 0.04)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("family", ["same", "full", "flow"])
def test_parts_sum_to_the_gap(family, known):
    subject = linear() if known else dataclasses.replace(linear(), provides=frozenset())
    found = measure(subject, family=family, steps=50)
    total = found["approximation_gap", family].per_datum + found["amortization_gap", family].per_datum
    torch.testing.assert_close(total.double(), found["gap", ""].per_datum.double(), atol=1e-4, rtol=0)
    assert found["gap", ""].method == found["log_likelihood", ""].method
    assert (found["gap", ""].method == "exact") == known


def test_richer_families_close_the_approximation_gap():
    subject = linear()
    gaps = {f: measure(subject, family=f)["approximation_gap", f] for f in ("same", "full", "flow")}
    assert abs(gaps["full"].value) < 0.02
    assert gaps["flow"].value < gaps["same"].value - 0.05


def test_parameters_of_an_amortised_posterior_are_freed(proof):
    """With as many directions as there are latents the family has the true posterior, wherever the network is: no gap is left."""
    subject = linear(lambda data, space: LowRankGaussian(data, space, rank=4, hidden=8))
    found = measure(subject, steps=1500)
    gap = found["approximation_gap", "same"].value
    proof("gap split, approximation", "low-rank normals that have the true posterior", gap, 0.0, 0.02)
    assert found["amortization_gap", "same"].value > 1


@pytest.mark.statistical("log p(x) with the exact one", "stated, of 50 data")
def test_without_the_exact_value_the_larger_lower_bound_comes_near(chance):
    """Which of two good bounds is larger is chance; one temperature is importance sampling from the prior, and loses."""
    exact, subject = (
        measure(linear())["log_likelihood", ""],
        dataclasses.replace(linear(), provides=frozenset()),
    )
    found = [measure(subject, temperatures=t)["log_likelihood", ""] for t in (100, 1)]
    values, errors = (torch.tensor([getattr(m, name) for m in found]) for name in ("value", "stderr"))
    chance.within(values, [exact.value] * 2, errors)
    assert found[1].method == "importance"


def test_true_posterior_leaves_nothing_to_split():
    found = measure(linear(Exact), steps=20)
    for key in (("gap", ""), ("approximation_gap", "same"), ("amortization_gap", "same")):
        assert abs(found[key].value) < 5e-3


def test_families_without_free_parameters_are_refused():
    subject = linear(Exact, MixturePrior)
    with pytest.raises(Refusal, match=r"Exact is neither; take family=full or family=flow"):
        measure(subject)
    assert measure(subject, family="full", steps=5)["gap", ""].value < 1e-3
