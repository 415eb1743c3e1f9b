"""MIG, DCI and SAP of codes whose scores are worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Posterior,
    Refusal,
    Split,
    Subject,
    Workload,
)
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators._factors import Code, mig
from lvmbench_plugins.evaluators.disentanglement import Disentanglement
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.priors.standard_normal import StandardNormal
from tests.statistical import FALSE_ALARM

COINS = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(250, 1)
"""Two independent fair coins, each of the four pairs 250 times."""
ALL = ("mig", "dci_disentanglement", "dci_completeness", "dci_informativeness", "sap")


class Identity(Posterior):
    """q(z|x) = N(x, 1)."""

    distribution = DiagonalNormal

    def forward(self, x, model):
        return DiagonalNormal(x, torch.zeros(x.shape[1]))


def subject(codes, factors, names=(), seed=0):
    codes = codes.float()
    dims = codes.shape[1]
    summary = DataSummary((dims,), "real", torch.zeros(dims))
    prior = StandardNormal(summary, dims)
    model = LatentVariableModel(prior, Identity(), LinearGaussian(summary, prior.space))
    splits = dict.fromkeys(("train", "validation", "test"), Split(codes, factors=factors))
    return Subject(model, Elbo(), {}, Data(splits, "real", "none", factor_names=names), seed=seed)


def measure(codes, factors, names=(), seed=0, **options):
    given = subject(codes, factors, names, seed)
    return {(m.metric, m.variant): m.value for m in Disentanglement(**options).evaluate(given)}


def scores(codes, factors=COINS, seed=0, **options):
    found = measure(codes, factors, seed=seed, **options)
    return {name: found[name, ""] for name in ALL}


def noise(count, dims=1, seed=0):
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (-3.0, 0.01)])
def test_a_perfect_code_in_any_order_and_scale_has_the_largest_scores(order, scale, proof):
    """The second best coordinate is right for half of the data: SAP is 1 - 1 / 2."""
    found = scores(COINS[:, order] * torch.tensor(scale))
    against = "a perfect code" if order == (0, 1) else "a permuted code"
    for name, truth in {**dict.fromkeys(ALL, 1.0), "sap": 0.5}.items():
        proof(name, f"{against}, by hand", found[name], truth, 1e-6)


def test_a_constant_coordinate_changes_nothing():
    found = scores(torch.cat([COINS, torch.ones(len(COINS), 1)], 1))
    assert found == pytest.approx({**dict.fromkeys(ALL, 1.0), "sap": 0.5})


@pytest.mark.statistical(
    "scores of a rotated code", "derived: a tree's share of importance is 1/3 or 2/3 by lot"
)
def test_a_rotated_code_is_informative_and_nothing_else(proof, chance):
    """z = (v1 + v2, v1 - v2): each coordinate tells log(2) / 2 of each factor, so that the gaps are 0.

    Each tree gives one of them 1/3 of the importance and the other 2/3, so that of 400 trees the share is
    near 1/2.
    """
    found = scores(COINS @ torch.tensor([[1, 1], [1, -1]]), seed=chance.seed, trees=400)
    share = 0.5 + chance.allowed(1 / 6 / 400**0.5, figures=2)
    due = {"mig": (0, 1e-9), "sap": (0, 1e-9), "dci_informativeness": (1, 0)}
    lost = 1 - stats.entropy([share, 1 - share], base=2)
    due |= dict.fromkeys(("dci_disentanglement", "dci_completeness"), (0, lost))
    for name, (truth, allowed) in due.items():
        proof(name, "an entangled (rotated) code, by hand", found[name], truth, allowed)


def test_one_coordinate_for_two_factors_is_complete_and_not_disentangled():
    """z = v1 + 2 v2 and a constant: information log 2 of each factor, none in the second coordinate."""
    found = scores(torch.stack([COINS[:, 0] + 2 * COINS[:, 1], torch.ones(len(COINS))], 1))
    assert found["mig"] == pytest.approx(1)
    assert found["dci_disentanglement"] == pytest.approx(0, abs=1e-9)
    assert found["dci_completeness"] == pytest.approx(1)
    assert found["dci_informativeness"] == 1
    # v2 is the sign of z - 1.5, and the class means of v1, 1 and 2, are no nearer for three of four values
    assert (
        measure(torch.stack([COINS[:, 0] + 2 * COINS[:, 1], torch.ones(len(COINS))], 1), COINS)["sap", "1"]
        == 0.5
    )


def test_a_factor_in_two_coordinates_has_no_gap():
    """z = (v1, v1, v2): the gap is 0 for the first factor, 1 for the second."""
    found = measure(COINS[:, [0, 0, 1]], COINS, names=("first", "second"))
    assert (found["mig", "first"], found["mig", "second"], found["mig", ""]) == pytest.approx(
        (0, 1, 0.5), abs=1e-9
    )
    assert (found["sap", "first"], found["sap", "second"]) == pytest.approx((0, 0.5), abs=1e-9)
    assert found["dci_disentanglement", ""] == pytest.approx(1)
    assert found["dci_completeness", "second"] == pytest.approx(1)
    assert found["dci_completeness", "first"] < 0.8


@pytest.mark.statistical(
    "scores of noise with 0", "chi-squared information in 20 bins; binomial accuracies", comparisons=2
)
def test_noise_scores_nothing(proof, chance):
    """10,000 data: 20,000 times the information of noise in 20 bins is chi-squared
    with 19 degrees of freedom.

    Accuracies of nearest means err as coins do; the importances of a forest that learned noise are equal to
    within 1/20.
    """
    factors = COINS.repeat(10, 1)
    found = scores(noise(len(factors), 2, chance.seed), factors, seed=chance.seed, trees=5)
    information = stats.chi2.isf(FALSE_ALARM / 2 / 4, 19) / (2 * len(factors))
    chance.likely(stats.chi2.sf(2 * len(factors) * math.log(2) * found["mig"], 19))
    lost = 1 - stats.entropy([0.55, 0.45], base=2)
    sap = chance.allowed((0.25 / len(factors) * 2) ** 0.5, figures=4)
    due = {
        "mig": information / math.log(2),
        "sap": sap,
        "dci_disentanglement": lost,
        "dci_completeness": lost,
    }
    for name, allowed in due.items():
        proof(name, "noise", found[name], 0.0, allowed)


@pytest.mark.statistical("the accuracy on noise with a half", "derived: 10,000 coins for each of two factors")
def test_forests_and_means_are_tried_on_the_measured_split(chance):
    """Noise in the training split and other noise in the measured one."""
    factors = COINS.repeat(10, 1)
    given = subject(noise(len(factors), 2, chance.seed), factors)
    given.data.splits["test"] = Split(noise(len(factors), 2, seed=1000 + chance.seed), factors=factors)
    found = {(m.metric, m.variant): m.value for m in Disentanglement(trees=5).evaluate(given)}
    chance.within(found["dci_informativeness", ""], 0.5, (0.25 / len(factors) / 2) ** 0.5)


def test_information_gap_of_a_noisy_copy(proof):
    """One coordinate is the coin turned over with probability 1/10, the other says nothing:
    1 - H(1/10) / log 2.
    """
    coin = np.repeat([0, 1], 500)
    turned = np.where(np.arange(1000) % 10 == 0, 1 - coin, coin)
    gap = mig(Code(np.stack([turned, np.zeros(1000)], 1), coin[:, None]), bins=20)
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    proof("mig", "a coin seen through noise, by hand", gap[0], 1 - entropy / math.log(2), 1e-6)


def test_factors_of_one_value_are_left_out():
    with_constant = torch.cat([COINS, torch.zeros(len(COINS), 1, dtype=torch.long)], 1)
    found = measure(COINS, with_constant, names=("a", "b", "c"))
    assert {variant for metric, variant in found if metric != "chance"} == {"", "a", "b"}
    assert found["mig", ""] == pytest.approx(1)


@pytest.mark.parametrize("values", [torch.zeros(40), torch.arange(40), torch.arange(40) // 39])
def test_factors_that_tell_nothing_apart_are_refused(values):
    """One value; each its own; one datum with another."""
    with pytest.raises(Refusal, match="a factor needs two values of two data or more in the test split"):
        measure(noise(40, 2), values.long()[:, None])


def test_what_is_perfect_for_nothing_is_left_out():
    """Noise: one coordinate has all the relevance there is, and one factor all of a coordinate's."""
    found = {metric for metric, _ in measure(noise(1000), COINS)}
    assert found == {"dci_informativeness", "dci_disentanglement"}
    found = {metric for metric, _ in measure(noise(1000, 2), COINS[:, :1])}
    assert found == {*ALL, "chance"} - {"dci_disentanglement"}


def test_chance_is_the_gap_of_coordinates_that_know_nothing():
    """A collapsed coordinate and noise, 40 data, 20 coins thrown by lot.

    In k + 1 bins the information of noise is a chi-square of k by 2 N: for k = 15 its share of log 2,
    averaged over 20 coins, has the mean 0.27 and a standard deviation of 0.022, seven times which is 0.15.
    """
    codes = torch.cat([noise(40), torch.zeros(40, 1)], 1)
    found = measure(codes, (noise(40, 20, seed=1) > 0).long())
    assert found["mig", ""] > 0.1
    assert found["chance", "mig"] == pytest.approx(found["mig", ""], abs=0.15)


def test_needs_factors():
    assert Disentanglement.requires == {"dataset.factors", "posterior.mean", "prior.fixed"}
    with pytest.raises(
        Refusal, match="the true factors of the test split or of the training split are not known"
    ):
        measure(COINS, None)
    assert Disentanglement().evaluations(Workload(Elbo(), {}, {"test": 10})) == 0
