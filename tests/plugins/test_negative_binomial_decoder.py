"""The negative binomial decoder against scipy, down to the Poisson limit."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lvmbench import DataSummary, LatentSpace
from lvmbench.distributions import NegativeBinomial
from lvmbench_plugins.decoders.negative_binomial import NegativeBinomialDecoder

COUNTS = torch.tensor([0.0, 1.0, 2.0, 7.0, 30.0, 1000.0, 100_000.0])


def decoder(**options):
    data = DataSummary((2, 3), "count", torch.tensor([[0.0, 1.0, 4.0], [0.3, 20.0, 7.0]]))
    return NegativeBinomialDecoder(data, LatentSpace((2,)), hidden=8, **options).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_dispersion", [-8.0, -2.2, -2.0, 0.0, 3.0])
@pytest.mark.parametrize("log_mean", [-5.0, 0.0, 3.0, 8.0])
def test_log_prob_is_that_of_scipy(log_mean, log_dispersion, dtype):
    loc, dispersion = (torch.tensor(value, dtype=dtype) for value in (log_mean, log_dispersion))
    found = NegativeBinomial(loc, dispersion, 0).log_prob(COUNTS.to(dtype))
    r = math.exp(-log_dispersion)
    due = stats.nbinom.logpmf(COUNTS.numpy(), r, r / (r + math.exp(log_mean)))
    np.testing.assert_allclose(found, due, rtol=1e-6 if dtype == torch.float32 else 1e-9, atol=1e-9)


@pytest.mark.parametrize("log_dispersion", [-25.0, -40.0, -80.0, -300.0])
def test_without_dispersion_it_is_the_poisson_distribution(log_dispersion):
    for log_mean in (-3.0, 2.0, 8.0):
        p = NegativeBinomial(torch.tensor(log_mean), torch.tensor(log_dispersion), 0)
        due = stats.poisson.logpmf(COUNTS[:-1].numpy(), math.exp(log_mean))
        np.testing.assert_allclose(p.log_prob(COUNTS[:-1]), due, rtol=1e-4)


@pytest.mark.parametrize("log_dispersion", [-600.0, -60.0, -10.0, 0.0, 30.0])
@pytest.mark.parametrize("log_mean", [-60.0, 0.0, 12.0])
def test_gradients_are_those_of_differences_and_finite_far_out(log_mean, log_dispersion):
    parameters = [
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (log_mean, log_dispersion)
    ]
    x = COUNTS[:6].double()
    assert torch.autograd.gradcheck(
        lambda m, a: NegativeBinomial(m, a, 0).log_prob(x), parameters, rtol=1e-3, atol=1e-4
    )
    single = [p.detach().float().requires_grad_() for p in parameters]
    NegativeBinomial(*single, 0).log_prob(COUNTS).sum().backward()
    assert all(p.grad.isfinite() for p in single)


def test_starts_at_the_training_mean():
    built = decoder()
    torch.nn.init.zeros_(built.network.linears[-1].weight)
    torch.nn.init.zeros_(built.network.linears[-1].bias)
    due = torch.tensor([[0.01, 1.0, 4.0], [0.3, 20.0, 7.0]]).double()
    torch.testing.assert_close(built(torch.zeros(1, 1, 2).double()).mean[0, 0], due)


@pytest.mark.parametrize("dispersion", ["constant", "network"])
def test_shares_have_one_total_whatever_z(dispersion):
    built, z = (
        decoder(mean="shares", dispersion=dispersion),
        torch.linspace(-3, 3, 40).reshape(4, 5, 2).double(),
    )
    p = built(z)
    torch.testing.assert_close(p.mean.sum((-2, -1)), torch.full((4, 5), 32.31).double())
    assert (p.mean - p.mean[0, 0]).abs().max() > 0.1
    assert (p.log_dispersion.std((0, 1)).max() > 0) == (dispersion == "network")


def test_with_the_datums_own_total_it_would_not_be_a_distribution():
    """Why the library size is no covariate: over a single column the probabilities grow with their number."""
    x = torch.arange(1.0, 20_000.0)
    own = NegativeBinomial(x.log(), torch.tensor(-2.0), 0).log_prob(x).exp()
    assert own.sum() > 5
