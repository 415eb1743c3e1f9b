"""Sample quality: scores of points placed by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lvmbench
from lvmbench import Refusal
from lvmbench_plugins.evaluators import sample_quality
from lvmbench_plugins.evaluators._two_samples import manifold, median_mmd, told_apart
from lvmbench_plugins.evaluators.sample_quality import SampleQuality

REAL = np.array([[0.0], [1.0], [10.0], [12.0]])
"""With one neighbour, balls of radius 1, 1, 2 and 2."""


def test_scores_of_points_by_hand():
    """Samples at 0.5, 1.5 and 30, whose own balls have radius 1, 1 and 28.5."""
    found = manifold(REAL, np.array([[0.5], [1.5], [30.0]]), 1)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == 1.0  # 10 and 12 are within 28.5 of 30
    assert found["density"] == pytest.approx(3 / 3)  # 0.5 lies in two balls, 1.5 in one, 30 in none
    assert found["coverage"] == pytest.approx(2 / 4)


def test_one_place_is_precise_and_covers_little():
    """Samples that are all alike."""
    found = manifold(REAL, np.full((3, 1), 0.5), 1)
    assert found == {"precision": 1.0, "recall": 0.0, "density": 2.0, "coverage": 0.5}


def test_mmd_by_hand():
    """Two points each: the kernel's width is the distance 1 of the real ones."""
    real, other = np.array([[0.0], [1.0]]), np.array([[2.0], [2.0]])
    within, between = np.exp(-0.5) + 1.0, np.exp(-2.0) + np.exp(-0.5)
    assert median_mmd(real, other) == pytest.approx(within - between)


@pytest.mark.statistical("the mean of 200 MMDs of equal laws with 0", "of the 200")
def test_mmd_of_equal_distributions_is_0_on_average(chance):
    rng = np.random.default_rng(chance.seed)
    chance.agrees([median_mmd(*rng.normal(size=(2, 20, 3))) for _ in range(200)])


def test_sets_far_apart_are_told_apart():
    rng = np.random.default_rng(0)
    assert told_apart(rng.normal(size=(50, 2)), rng.normal(size=(50, 2)) + 20, 0) == 1.0


def fitted():
    parts = {"prior": "standard_normal", "posterior": "gaussian", "decoder": "bernoulli", "objective": "elbo"}
    return lvmbench.fit(data="digits", latent=4, device="cpu", epochs=1, batch=128, **parts)


def test_fair_coins_are_worse_than_real_data():
    """A model whose weights are 0 tosses a coin for each pixel.

    Half of the real data is held to the other half.
    """
    coins = fitted()
    with torch.no_grad():
        for weight in coins.model.parameters():
            weight.zero_()
    frame = lvmbench.evaluate(coins, "sample_quality[sets=2]").set_index(["metric", "variant"])["value"]
    for metric, worse in (
        ("two_sample_accuracy", 1),
        ("squared_mmd", 1),
        ("precision", -1),
        ("coverage", -1),
    ):
        assert worse * (frame[metric, ""] - frame[metric, "real"]) > 0.1
    assert abs(frame["squared_mmd", "real"]) < 0.02


def test_runs_on_a_data_set_share_their_classifier(monkeypatch):
    """And other data have another one."""
    monkeypatch.setattr(sample_quality, "_LEARNED", {})
    instrument, subject = SampleQuality(train_data=200), fitted().subject()
    first = instrument._learned(subject)
    assert instrument._learned(fitted().subject()) is first
    fewer = {n: replace(s, x=s.x[:300], labels=s.labels[:300]) for n, s in subject.data.splits.items()}
    other = instrument._learned(replace(subject, data=replace(subject.data, splits=fewer)))
    x = subject.x[:20]
    assert not np.array_equal(other(x), first(x))
    assert np.array_equal(instrument._taught(subject)(x), first(x))


def test_one_class_is_refused():
    subject = fitted().subject()
    one = {n: replace(s, labels=torch.zeros_like(s.labels)) for n, s in subject.data.splits.items()}
    subject = replace(subject, data=replace(subject.data, splits=one))
    with pytest.raises(Refusal, match="fewer than two classes"):
        list(SampleQuality().evaluate(subject))


def test_labels_are_required_for_the_classifier_only():
    assert SampleQuality().requires == {"dataset.labels", "dataset.complete", "prior.fixed"}
    assert SampleQuality(features="pixels").requires == {"dataset.complete", "prior.fixed"}
