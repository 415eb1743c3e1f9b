"""What the reference components promise together:
bounds in their order, gaps that close, estimators that agree.
"""

import math
from functools import cache
from itertools import pairwise

import pytest
import torch

from lvmbench import Subject
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import applicable_estimators, capabilities
from lvmbench.kinds import PARTS
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training import restore, train

CATALOGUE = load_catalogue()
LINEAR = (
    "linear_gaussian[train=500,validation=100,test=100]",
    "standard_normal",
    "gaussian",
    "linear_gaussian",
)
DIGITS = ("digits", "standard_normal", "gaussian", "bernoulli")


@cache
def trained(*names: str, epochs: int, seed: int = 0) -> Subject:
    """A combination trained for some epochs, ready to be measured."""
    names = names if len(names) == len(PARTS) else (*names, "elbo", "pathwise")
    combination = Combination(dict(zip(PARTS, map(Ref.parse, names), strict=True)), latent=4)
    data = CATALOGUE.build("dataset", combination["dataset"]).load()
    parts = build(CATALOGUE, combination, data, seed)
    budget = Budget(epochs=epochs, batch=100, learning_rate=5e-3, patience=0)
    (result,) = train([parts], [seed], data, budget, torch.device("cpu"))
    restore(parts, result.weights)
    provided = capabilities(data, parts)
    estimators = applicable_estimators(CATALOGUE, parts, data, provided, combination["estimator"])
    return Subject(parts.model.eval(), parts.objective, estimators, data, seed, provides=provided)


def figures(subject: Subject, evaluator: str) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Value and standard error of each measurement."""
    found = CATALOGUE.build("evaluator", evaluator).evaluate(subject)
    return {(m.metric, m.variant, m.method): (m.value, m.stderr or 0.0) for m in found}


def test_the_exact_posterior_has_no_gap():
    names = (LINEAR[0], "standard_normal", "exact", "linear_gaussian")
    found = figures(trained(*names, epochs=20), "tightness")
    assert abs(found["gap", "", "exact"][0]) < 1e-3


@pytest.mark.statistical(
    "gaps after 1, 3, 10 and 150 epochs, in order", "stated, over 100 data", comparisons=3
)
def test_the_gap_of_an_amortised_posterior_is_positive_and_shrinks_with_training(chance):
    """Gaps after 1, 3 and 10 epochs, and at convergence.

    Later the gap also moves with the model: as its noise shrinks, the true posterior narrows ahead of q.
    """
    *early, converged = (figures(trained(*LINEAR, epochs=n), "tightness") for n in (1, 3, 10, 150))
    gaps = [found["gap", "", "exact"] for found in early]
    for (gap, error), (later, other) in pairwise(gaps):
        chance.ordered(later, gap, math.hypot(error, other))
    gap, error = converged["gap", "", "exact"]
    chance.ordered([0.0, gap], [gap, gaps[0][0] / 2], [error, math.hypot(error, gaps[0][1] / 2)])


@pytest.mark.statistical("log p(x) at S = 1000 with the exact one", "stated, over 100 data")
def test_importance_sampling_agrees_with_the_exact_density(chance):
    found = figures(trained(*LINEAR, epochs=150), "tightness[samples=1000]")
    exact, (estimate, error) = (
        found["log_likelihood", "", "exact"][0],
        found["log_likelihood", "", "importance"],
    )
    assert estimate != exact
    chance.within(estimate, exact, error)


@pytest.mark.statistical(
    "ELBO, IWAE-5, IWAE-50 and log p(x), in order", "stated, over 100 data", comparisons=3
)
def test_bounds_are_in_their_order(chance):
    base = trained(*LINEAR, epochs=10)
    objectives = [
        CATALOGUE.build("objective", name) for name in ("elbo", "iwae[samples=5]", "iwae[samples=50]")
    ]
    found = [figures(Subject(**{**vars(base), "objective": o}), "tightness") for o in objectives]
    chain = [f["bound", "", ""] for f in found] + [found[0]["log_likelihood", "", "exact"]]
    for (lower, error), (upper, other) in pairwise(chain):
        chance.within(lower, upper, math.hypot(error, other), above=True)
    assert chain[0][0] < chain[-1][0]


@pytest.mark.statistical(
    "variances and means of two estimators", "stated; Hotelling's F, of 200 repeats", comparisons=2
)
def test_score_is_far_noisier_than_pathwise_and_has_the_same_mean(chance):
    """On a trained model of digits."""
    found = figures(trained(*DIGITS, epochs=20), "gradient_variance[batch=32,repeats=200]")
    ratio, error = found["gradient_variance_ratio", "score/pathwise", ""]
    chance.ordered(10.0, ratio, error)
    chance.likely(found["gradient_agreement", "score/pathwise", ""][0])


@pytest.mark.slow
def test_digits_are_learned():
    """The ELBO of a plain VAE beats independent pixels, about -24.4, by more than 5 nats."""
    found = figures(trained(*DIGITS, epochs=80), "tightness")
    assert found["elbo", "", ""][0] > -24.4 + 5


def test_importance_sampling_with_the_exact_posterior_agrees_within_its_error_too():
    """There only rounding is left, and the standard error says how much."""
    names = (LINEAR[0], "standard_normal", "exact", "linear_gaussian")
    found = figures(trained(*names, epochs=20), "tightness")
    exact, (estimate, error) = (
        found["log_likelihood", "", "exact"][0],
        found["log_likelihood", "", "importance"],
    )
    assert abs(estimate - exact) <= 3 * error < 1e-4
