"""The amortised normal posterior: density and KL divergence."""

import pytest
import torch
from scipy import stats
from torch.distributions import Independent, Normal, kl_divergence

from lvmbench import DataSummary, DiagonalNormal, LatentSpace, Stream
from lvmbench.divergence import analytic_kl
from lvmbench_plugins.posteriors.gaussian import Gaussian


@pytest.fixture
def q():
    posterior = Gaussian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), hidden=8).double()
    return posterior(torch.randn(5, 3, dtype=torch.float64), None)


@pytest.fixture
def p():
    return DiagonalNormal(torch.tensor([0.3, -1.0]).double(), torch.tensor([-0.2, 0.4]).double())


def test_log_prob_is_that_of_scipy(q):
    z = torch.randn(4, 5, 2, dtype=torch.float64)
    expected = stats.norm.logpdf(z, q.loc.detach(), q.log_scale.exp().detach()).sum(-1)
    torch.testing.assert_close(q.log_prob(z).detach(), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.statistical("the closed form with the average log ratio", "of the 20,000 draws")
def test_kl_is_the_closed_form_and_the_average_log_ratio(q, p, chance):
    theirs = [Independent(Normal(d.loc, d.log_scale.exp()), 1) for d in (q, p)]
    kl = analytic_kl(q, p)
    torch.testing.assert_close(kl, kl_divergence(*theirs), rtol=1e-12, atol=1e-12)
    z, log_q = q.sample_and_log_prob(Stream.seeded(0, dtype=torch.float64), 20_000)
    chance.agrees(log_q - p.log_prob(z), kl)


@pytest.mark.parametrize("space", [(2,), (3, 2)])
def test_each_datum_has_its_own_normal(space):
    posterior = Gaussian(DataSummary((4, 3), "real", torch.zeros(4, 3)), LatentSpace(space), hidden=8)
    x = torch.randn(6, 4, 3)
    q = posterior(x, None)
    assert q.loc.shape == q.log_scale.shape == (6, *space)
    assert q.log_prob(torch.zeros(7, 6, *space)).shape == (7, 6)
    torch.testing.assert_close(posterior(x[2:3], None).loc[0], q.loc[2])
