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
@pytest.mark.statistical("the mean gradient with its closed form", "of the 20,000 draws")
def test_mean_gradient_is_the_closed_form(line, kl, samples, chance):
    chance.agrees(line.gradients(Elbo(kl=kl, samples=samples), Pathwise(), DRAWS), line.gradient, slack=1e-9)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_each_gradient_is_the_derivative_through_the_sample(line, kl):
    """z = m + s e: d/dm of -(x - w z)^2 / 2 is w (x - w z), of log p(z) it is -z, and of log q(z) it is 0."""
    noise = Stream.seeded(0, "line", dtype=torch.float64).normal((DRAWS, 1))[:, 0]
    (m, log_s), w = line.model.posterior.weights.tolist(), line.model.decoder.weight.item()
    z = m + math.exp(log_s) * noise
    expected = w * (line.x - w * z) - (m if kl == "analytic" else z)
    torch.testing.assert_close(line.gradients(Elbo(kl=kl), Pathwise(), DRAWS)[:, 0], expected)


def test_surrogate_is_the_bound(linear_model, points):
    surrogate, bound = Pathwise()(Elbo(), linear_model(), points, Stream.seeded(0, dtype=torch.float64))
    assert torch.equal(surrogate, bound)
