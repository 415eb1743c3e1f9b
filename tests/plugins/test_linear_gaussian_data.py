"""The generated linear-Gaussian data, against its closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lvmbench_plugins.datasets.linear_gaussian import LinearGaussianData


def test_log_prob_is_scipys():
    source = LinearGaussianData(dims=6, latent=2, noise=0.3)
    data = source.load()
    x = data.splits["test"].x.double()
    covariance = source.weight @ source.weight.T + 0.09 * torch.eye(6, dtype=torch.float64)
    expected = stats.multivariate_normal(source.bias.numpy(), covariance.numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(data.log_prob(x).numpy(), expected, rtol=1e-12)
    single = data.log_prob(x.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=2 * np.finfo(np.float32).eps)


def test_without_signal_it_is_the_noise():
    source = LinearGaussianData(dims=3, latent=1, noise=0.5)
    source.weight = torch.zeros_like(source.weight)
    expected = -3 * (math.log(0.5) + 0.5 * math.log(2 * math.pi))
    assert source.load().log_prob(source.bias[None]).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.statistical("whitened moments with their laws", "exact, chi-squared")
def test_moments_are_those_of_the_model(split, chance):
    """Whitened by W W' + s^2 I, n times the second moment along any direction is chi-square with n degrees,
    and n times the squared mean is chi-square with D; along e_i and (e_i +- e_j) these determine every
    covariance.
    """
    n, dims = 5000, 5
    source = LinearGaussianData(dims=dims, latent=2, train=n, validation=n, test=n, seed=chance.seed)
    x = source.load().splits[split].x.double() - source.bias
    factor = torch.linalg.cholesky(source.weight @ source.weight.T + 0.25 * torch.eye(dims))
    white = torch.linalg.solve_triangular(factor, x.T, upper=False).T
    axes = torch.eye(dims, dtype=torch.float64)
    pairs = [(axes[i] + sign * axes[j]) / 2**0.5 for i in range(dims) for j in range(i) for sign in (1, -1)]
    directions = torch.stack([*axes, *pairs])
    squares = (white @ directions.T).square().sum(0)
    tails = [
        stats.chi2(n).cdf(squares.numpy()),
        stats.chi2(dims).cdf([n * white.mean(0).square().sum().item()]),
    ]
    tail = np.concatenate(tails)
    chance.likely(*(2 * np.minimum(tail, 1 - tail)))


def test_the_same_at_every_load_and_another_with_another_seed():
    first, again, other = (LinearGaussianData(seed=seed).load() for seed in (0, 0, 1))
    assert first.checksum == again.checksum != other.checksum
    assert first.capabilities == {"real", "complete", "log_prob"}


def test_no_split_repeats_another_or_depends_on_its_size():
    small, large = LinearGaussianData(train=500).load().splits, LinearGaussianData(train=700).load().splits
    assert torch.equal(small["test"].x, large["test"].x)
    assert not torch.equal(small["train"].x, small["test"].x)
    assert {name: len(split) for name, split in small.items()} == {
        "train": 500,
        "validation": 200,
        "test": 500,
    }
