"""The continuous Bernoulli decoder against quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from lvmbench import DataSummary, LatentSpace, Stream
from lvmbench.distributions import ContinuousBernoulli
from lvmbench_plugins.decoders.continuous_bernoulli import ContinuousBernoulliDecoder

LOGITS = [
    0.0,
    1e-12,
    -1e-8,
    1e-6,
    -1e-4,
    1e-3,
    0.01,
    -0.1,
    0.5,
    1.0,
    1.39,
    1.41,
    -1.4,
    3.0,
    -10.0,
    40.0,
    300.0,
]
"""Near 0, where the parameter is near 1/2, on both sides of where the series ends, and far out."""


def moments(logit):
    """The log of the integral of e^(l x) over [0, 1], and the mean of x under that."""
    peak = max(logit, 0.0)
    ends = {"epsabs": 1e-14, "epsrel": 1e-12, "limit": 500, "points": [1e-2, 0.5, 1 - 1e-2]}
    total = integrate.quad(lambda x: math.exp(logit * x - peak), 0, 1, **ends)[0]
    first = integrate.quad(lambda x: x * math.exp(logit * x - peak), 0, 1, **ends)[0]
    return math.log(total) + peak, first / total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", LOGITS)
def test_the_normaliser_its_gradient_and_the_mean_are_those_of_quadrature(logit, dtype):
    logits = torch.tensor([logit], dtype=dtype, requires_grad=True)
    p = ContinuousBernoulli(logits)
    normaliser = -p.log_prob(torch.zeros(1, dtype=dtype))
    normaliser.backward()
    log_total, mean = moments(logits.item())
    slack = 1e-6 if dtype == torch.float32 else 1e-9
    assert math.isclose(normaliser.item(), log_total, rel_tol=slack, abs_tol=slack)
    assert math.isclose(logits.grad.item(), mean, abs_tol=slack)
    assert math.isclose(p.mean.item(), mean, abs_tol=slack)


def test_the_constant_is_that_of_the_paper():
    share = torch.tensor([0.1, 0.3, 0.7, 0.95]).double()
    log_prob = ContinuousBernoulli(share.logit(), 0).log_prob(torch.tensor(0.4))
    constant = 2 * torch.atanh(1 - 2 * share) / (1 - 2 * share)
    torch.testing.assert_close(log_prob, constant.log() + 0.4 * share.log() + 0.6 * (1 - share).log())


@pytest.mark.parametrize("logit", [-1e6, -1e3, 1e3, 1e6])
def test_far_logits_have_finite_densities_samples_and_gradients(logit):
    logits = torch.tensor([logit], requires_grad=True)
    p = ContinuousBernoulli(logits)
    x, log_prob = p.sample_and_log_prob(Stream.seeded(0), 100)
    (log_prob.sum() + x.sum() + p.log_prob(torch.tensor([0.5]))).backward()
    assert ((x >= 0) & (x <= 1)).all()
    assert log_prob.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("logit", [0.0, 5e-4, 2e-3, -3.0, 30.0])
def test_samples_are_the_quantiles_of_their_numbers_and_so_are_their_gradients(logit):
    logits = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    x = ContinuousBernoulli(logits).sample(Stream.seeded(0, dtype=torch.float64), 50)
    u = Stream.seeded(0, dtype=torch.float64).uniform((50, 1))
    due = torch.special.expm1(logit * x) / math.expm1(logit) if logit else x
    torch.testing.assert_close(due.detach(), u, rtol=0, atol=1e-7)
    x.sum().backward()
    # by the implicit function theorem: - (dF / dl) / p, with dF / dl by differences
    at, h = x.detach().numpy(), 1e-3

    def distribution(slope):
        return np.expm1(slope * at) / np.expm1(slope) if slope else at

    change = (distribution(logit + h) - distribution(logit - h)) / (2 * h)
    density = ContinuousBernoulli(logits.detach(), 0).log_prob(x.detach()).exp().numpy()
    assert math.isclose(logits.grad.item(), -(change / density).sum(), rel_tol=1e-3)


def test_starts_at_about_the_training_mean():
    mean = torch.tensor([0.02, 0.1, 0.5, 0.8])
    built = ContinuousBernoulliDecoder(DataSummary((4,), "unit", mean), LatentSpace((2,)))
    torch.testing.assert_close(ContinuousBernoulli(built.offset.detach()).mean, mean, rtol=0, atol=0.02)
