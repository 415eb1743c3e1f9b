"""Generated sequences: their densities against dense normals and quadrature, and their lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from lvmbench import MultivariateNormal, Stream, UserError
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.datasets.linear_gaussian_sequences import LinearGaussianSequences
from lvmbench_plugins.datasets.pendulum import Pendulum
from lvmbench_plugins.datasets.stochastic_volatility import StochasticVolatility

CATALOGUE = load_catalogue()
GENERATED = {
    "linear_gaussian_sequences": LinearGaussianSequences,
    "stochastic_volatility": StochasticVolatility,
    "pendulum": Pendulum,
}
FEW = {"train": 40, "validation": 5, "test": 5}
each = pytest.mark.parametrize("name", GENERATED)


def drawn(source, size, steps, seed=0):
    return source._draw(Stream.seeded(seed, "sequences", dtype=torch.float64), size, steps)


@each
def test_lengths_are_drawn_and_change_no_value(name):
    mixed, whole = (GENERATED[name](steps=9, shortest=n, **FEW).load() for n in (3, 9))
    lengths = torch.cat([split.lengths for split in mixed.splits.values()])
    assert set(lengths.tolist()) == set(range(3, 10))
    assert (mixed.complete, mixed.whole_frames, whole.complete) == (False, True, True)
    x, due = mixed.splits["train"].x, whole.splits["train"].x
    assert torch.equal(x.nan_to_num(0.0), due.masked_fill(x.isnan(), 0.0))


@each
def test_the_density_is_that_of_the_steps_there_are(name):
    data = GENERATED[name](steps=6, shortest=2, **FEW).load()
    x, lengths = data.splits["train"].x, data.splits["train"].lengths
    alone = torch.cat([data.log_prob(row[None, :n]) for row, n in zip(x, lengths, strict=True)])
    torch.testing.assert_close(data.log_prob(x), alone)


@each
def test_fewer_steps_at_most_than_at_least_are_refused(name):
    with pytest.raises(UserError, match=f"{name}: shortest=9 is more than steps=8; it is at most as many"):
        GENERATED[name](steps=8, shortest=9).load()


def test_a_linear_gaussian_sequence_has_the_density_of_a_dense_normal():
    """Its states are stationary: their covariance s steps apart is the transition to the power of s."""
    steps = 50
    source = LinearGaussianSequences(dims=3, latent=2, memory=0.95)
    of = source.system
    powers = [torch.linalg.matrix_power(of.transition, s) for s in range(steps)]
    lags = torch.stack([of.emission @ power @ of.emission.T for power in powers])
    blocks = [[lags[t - s] if t >= s else lags[s - t].T for s in range(steps)] for t in range(steps)]
    signal = torch.cat([torch.cat(row, 1) for row in blocks])
    noise = (2 * of.log_noise).exp().repeat(steps).diag()
    truth = MultivariateNormal(of.bias.repeat(steps), torch.linalg.cholesky(signal + noise))
    x = drawn(source, 20, steps)
    due = truth.log_prob(x.flatten(1))
    density = CATALOGUE.build("dataset", "linear_gaussian_sequences[memory=0.95]").load().log_prob
    torch.testing.assert_close(density(x), due, rtol=1e-10, atol=0)


def test_returns_without_memory_have_the_density_of_a_scale_mixture():
    source = StochasticVolatility(dims=2, persistence=0.0, volatility=0.8, scale=1.3)
    x = drawn(source, 4, 3)

    def density(r):
        def joint(z):
            return stats.norm.pdf(r, scale=1.3 * math.exp(z / 2)) * stats.norm.pdf(z, scale=0.8)

        return integrate.quad(joint, -8, 8, epsabs=1e-13, epsrel=1e-12)[0]

    due = np.log(np.vectorize(density)(x.numpy())).sum((1, 2))
    np.testing.assert_allclose(source.log_prob(x), due, rtol=1e-9)


def hermite(points):
    """Nodes and log weights of a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum()).log()


def test_the_density_of_three_returns_is_that_of_a_sum_over_all_states():
    source = StochasticVolatility(persistence=0.9, volatility=0.4, scale=0.7)
    x = drawn(source, 5, 3)
    nodes, log_weights = hermite(60)
    one, two, three = torch.meshgrid(nodes, nodes, nodes, indexing="ij")
    z = [source.spread * one]
    z += [0.9 * z[0] + 0.4 * two]
    z += [0.9 * z[1] + 0.4 * three]
    weight = log_weights.reshape(-1, 1, 1) + log_weights.reshape(-1, 1) + log_weights
    for row, found in zip(x, source.log_prob(x), strict=True):
        each = [
            torch.distributions.Normal(0.0, 0.7 * (state / 2).exp()).log_prob(r)
            for r, state in zip(row[:, 0], z, strict=True)
        ]
        torch.testing.assert_close(found, (sum(each) + weight).flatten().logsumexp(0), rtol=1e-7, atol=0)


def test_the_density_of_three_places_is_that_of_a_sum_over_all_swings():
    source = Pendulum(gravity=0.4, push=0.3, speed=0.5, noise=0.35)
    x = drawn(source, 5, 3)
    nodes, log_weights = hermite(50)
    first = torch.arange(150, dtype=torch.float64).mul(2 * math.pi / 150).reshape(-1, 1, 1)
    second = first + 0.5 * nodes.reshape(-1, 1)
    third = 2 * second - first - 0.4 * second.sin() + 0.3 * nodes
    weight = log_weights.reshape(-1, 1) + log_weights - math.log(150)
    for row, found in zip(x, source.log_prob(x), strict=True):
        log_p = weight
        for place, angle in zip(row, (first, second, third), strict=True):
            for value, due in zip(place, (angle.sin(), -angle.cos()), strict=True):
                log_p = log_p + torch.distributions.Normal(due, 0.35).log_prob(value)
        torch.testing.assert_close(found, log_p.flatten().logsumexp(0), rtol=1e-7, atol=0)


GRIDS = {
    "pendulum": (Pendulum(), (24, 32, 40, 48, 56), 200),
    "pendulum seen well": (Pendulum(noise=0.1, push=0.3), (48, 64, 80, 96), 300),
    "stochastic volatility": (StochasticVolatility(), (15, 25, 35, 50), 400),
    "a stormy one": (StochasticVolatility(persistence=0.8, volatility=1.2), (15, 25, 35, 50), 400),
}


@pytest.mark.parametrize("case", GRIDS)
def test_a_density_by_a_grid_converges_as_the_grid_gets_finer(case):
    source, grids, finest = GRIDS[case]
    x = drawn(source, 20, 20)
    truth = source.log_prob(x, finest)
    errors = [(source.log_prob(x, points) - truth).abs().max().item() for points in grids]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * errors[0]
    assert (source.log_prob(x) - truth).abs().max() < 1e-9


@pytest.mark.statistical(
    "the mean of a density of another law over that of the draws, which is 1", "measured on the draws"
)
@pytest.mark.parametrize(
    ("source", "other"),
    [
        (Pendulum(), Pendulum(gravity=0.35, push=0.18, speed=0.28)),
        (StochasticVolatility(), StochasticVolatility(persistence=0.94, volatility=0.28)),
    ],
    ids=["pendulum", "volatility"],
)
def test_draws_follow_their_density(source, other, chance):
    x = drawn(source, 1000, 6, chance.seed)
    chance.agrees((other.log_prob(x) - source.log_prob(x)).exp(), 1.0)
