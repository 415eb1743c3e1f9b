"""The generated clusters, against their closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from lvmbench_plugins.datasets.blobs import Blobs


def test_log_prob_is_scipys():
    source = Blobs(clusters=4, dims=3, spread=0.7)
    data = source.load()
    x = data.splits["test"].x.double()
    parts = [stats.multivariate_normal(c.numpy(), 0.49 * np.eye(3)).logpdf(x.numpy()) for c in source.centres]
    np.testing.assert_allclose(data.log_prob(x).numpy(), logsumexp(parts, axis=0) - np.log(4), rtol=1e-12)


def test_the_density_integrates_to_one():
    """On a grid of half a standard deviation that reaches eight beyond the centres,
    the sum is exact to 1e-12.
    """
    source = Blobs(spread=0.5)
    low, high = source.centres.min() - 4, source.centres.max() + 4
    step = 0.25
    axis = torch.arange(low.item(), high.item(), step, dtype=torch.float64)
    mass = source.load().log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * step**2
    assert mass.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.statistical("distances to centres; counts of labels", "exact, chi-squared; binomial")
def test_labels_are_uniform_and_say_where_a_point_comes_from(split, chance):
    n = 4000
    source = Blobs(clusters=5, dims=3, spread=0.7, train=n, validation=n, test=n, seed=chance.seed)
    found = source.load().splits[split]
    squares = ((found.x.double() - source.centres[found.labels]) / 0.7).square().sum()
    tail = stats.chi2(3 * n).cdf(squares.item())
    counts = found.labels.bincount(minlength=5).tolist()
    chance.likely(2 * min(tail, 1 - tail), *(stats.binomtest(c, n, 1 / 5).pvalue for c in counts))


def test_separation_scales_the_centres():
    near, far = Blobs(separation=1.0), Blobs(separation=3.0)
    assert torch.equal(far.centres, 3 * near.centres)


def test_the_same_at_every_load_and_another_with_another_seed():
    first, again, other = (Blobs(seed=seed).load() for seed in (0, 0, 1))
    assert first.checksum == again.checksum != other.checksum
    assert first.capabilities == {"real", "complete", "log_prob", "labels"}
