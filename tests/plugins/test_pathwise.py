"""The pathwise gradient against closed forms."""

import math

import pytest
import torch

from lvmbench import Stream
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.objectives.elbo import Elbo

DRAWS = 20_000


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize("samples", [1, 3])
def test_mean_gradient_is_the_closed_form(line, kl, samples):
    """Within 4 standard errors; false-alarm rate 6e-5 for each of 3 weights."""
    found = line.gradients(Elbo(kl=kl, samples=samples), Pathwise(), DRAWS)
    assert ((found.mean(0) - line.gradient).abs() <= 4 * found.std(0) / math.sqrt(DRAWS)).all()


def test_each_gradient_is_the_derivative_through_the_sample(line):
    """z = m + s e: d/dm of -(x - w z)^2 / 2 is w (x - w z)."""
    noise = Stream.seeded(0, "line", dtype=torch.float64).normal((DRAWS, 1))[:, 0]
    (m, log_s), w = line.model.posterior.weights.tolist(), line.model.decoder.weight.item()
    expected = w * (line.x - w * (m + math.exp(log_s) * noise)) - m
    torch.testing.assert_close(line.gradients(Elbo(), Pathwise(), DRAWS)[:, 0], expected)


def test_surrogate_is_the_bound(linear_model, points):
    surrogate, bound = Pathwise()(Elbo(), linear_model(), points, Stream.seeded(0, dtype=torch.float64))
    assert torch.equal(surrogate, bound)
