"""The linear-Gaussian decoder against its formula."""

import math

import pytest
import torch
from scipy import stats

from lvmbench import DataSummary, LatentSpace, Refusal
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian


@pytest.mark.parametrize("event", [(3,), (2, 3)])
def test_log_prob_is_that_of_scipy(event):
    built = LinearGaussian(
        DataSummary(event, "real", torch.ones(event)), LatentSpace((2,)), noise=0.5
    ).double()
    z, x = torch.randn(4, 5, 2).double(), torch.randn(5, *event).double()
    size = math.prod(event)
    loc = torch.einsum("dz,kbz->kbd", built.weight, z) + built.bias
    expected = [
        [
            stats.multivariate_normal(m, 0.25 * torch.eye(size)).logpdf(v.flatten())
            for m, v in zip(row, x, strict=True)
        ]
        for row in loc.detach()
    ]
    torch.testing.assert_close(
        built(z).log_prob(x).detach(), torch.tensor(expected).double(), rtol=1e-6, atol=1e-6
    )


def test_starts_at_the_training_mean_and_the_given_noise():
    built = LinearGaussian(DataSummary((3,), "real", torch.arange(3.0)), LatentSpace((2,)), noise=0.5)
    p = built(torch.zeros(1, 1, 2))
    assert p.mean[0, 0].tolist() == [0, 1, 2]
    torch.testing.assert_close(p.log_scale.exp(), torch.full((1, 1, 3), 0.5))


def test_refuses_latents_that_are_not_vectors():
    with pytest.raises(Refusal, match=r"vector of latents; the prior's are of shape \(2, 4\)"):
        LinearGaussian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2, 4)))
