"""The maximum mean discrepancy against its closed form, and the objectives that use it; free bits."""

import math

import pytest
import torch

from lvmbench import Stream, Terms
from lvmbench.kernels.mmd import KERNELS, SCALES, rbf, squared_mmd
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.info import Info
from lvmbench_plugins.objectives.wasserstein import Wasserstein


@pytest.mark.statistical("the mean of 4,000 MMDs with its closed form", "of the 4,000")
def test_mean_is_the_closed_form_of_two_normals(chance):
    """E k = (C / (C + 2 v))^(1/2) exp(-d^2 / (C + 2 v)) for one value, v the sum of the variances."""

    def expected(shift, variances):
        widths = [2 * s for s in SCALES]
        v = sum(variances)
        return sum(math.sqrt(c / (c + 2 * v)) * math.exp(-(shift**2) / (c + 2 * v)) for c in widths) / len(
            widths
        )

    noise = Stream.seeded(0, dtype=torch.float64)
    found = torch.stack(
        [squared_mmd(rbf, noise.normal((20, 1)), 1 + 2 * noise.normal((20, 1))) for _ in range(4000)]
    )
    due = expected(0, (1, 1)) + expected(0, (4, 4)) - 2 * expected(1, (1, 4))
    chance.agrees(found, due)


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
@pytest.mark.statistical("the mean of 2,000 MMDs of equal laws with 0", "of the 2,000")
def test_mean_is_zero_for_one_distribution(kernel, chance):
    noise = Stream.seeded(0, dtype=torch.float64)
    found = torch.stack(
        [squared_mmd(KERNELS[kernel], noise.normal((10, 2)), noise.normal((10, 2))) for _ in range(2000)]
    )
    chance.agrees(found)


def test_info_without_penalty_is_the_elbo(linear_model, points):
    model = linear_model()
    one, other = (
        o(Terms(model, points, Stream.seeded(0, dtype=torch.float64), 1))
        for o in (Info(alpha=0.0, scale=1.0), Elbo())
    )
    torch.testing.assert_close(one, other)


def test_a_deterministic_encoder_has_no_noise_but_the_priors(linear_model, points):
    model = linear_model()
    one, other = (
        Wasserstein(encoder="deterministic", scale=0.0)(
            Terms(model, points, Stream.seeded(seed, dtype=torch.float64), 1)
        )
        for seed in (0, 1)
    )
    torch.testing.assert_close(one, other)


def test_a_unit_within_its_free_bits_has_no_gradient(linear_model, points):
    """While training: with more free bits than any KL the posterior is moved by the likelihood alone."""
    model, free = linear_model(), 1e6

    def gradient(objective):
        terms = Terms(model, points, Stream.seeded(0, dtype=torch.float64), 1)
        return torch.autograd.grad(objective(terms).sum(), list(model.posterior.parameters()))

    for one, other in zip(gradient(Elbo(free_bits=free)), gradient(Elbo(beta=0.0)), strict=True):
        torch.testing.assert_close(one, other)
    plain, evaluated = gradient(Elbo()), gradient(Elbo(free_bits=free).eval())
    for one, other in zip(plain, evaluated, strict=True):
        torch.testing.assert_close(one, other)
