"""The standard normal prior against scipy."""

import pytest
import torch
from scipy import stats

from lvmbench import DataSummary, Stream
from lvmbench_plugins.priors.standard_normal import StandardNormal


def prior(latent):
    return StandardNormal(DataSummary((3,), "real", torch.zeros(3)), latent).double()


def test_log_prob_is_that_of_scipy():
    z = torch.randn(4, 5, 3, dtype=torch.float64)
    expected = stats.multivariate_normal(torch.zeros(3), torch.eye(3)).logpdf(z)
    torch.testing.assert_close(prior(3)(None).log_prob(z), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.statistical("10,000 numbers with their law", "exact, by Kolmogorov and Smirnov")
def test_samples_are_standard_normal(chance):
    z = prior(2)(None).sample(Stream.seeded(0, dtype=torch.float64), 5000)
    chance.likely(stats.kstest(z.flatten(), "norm").pvalue)


def test_has_nothing_to_learn_or_to_store():
    assert not list(prior(2).parameters())
    assert not prior(2).state_dict()
