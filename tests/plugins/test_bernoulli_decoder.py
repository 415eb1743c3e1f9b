"""The Bernoulli decoder against scipy."""

import torch
from scipy import stats

from lvmbench import DataSummary, LatentSpace
from lvmbench_plugins.decoders.bernoulli import BernoulliDecoder

MEAN = torch.tensor([[0.2, 0.5, 0.9], [0.0, 1.0, 0.7]])


def decoder():
    return BernoulliDecoder(DataSummary((2, 3), "binary", MEAN), LatentSpace((2,)), hidden=8).double()


def test_log_prob_is_that_of_scipy():
    p = decoder()(torch.randn(4, 5, 2, dtype=torch.float64))
    x = (torch.rand(5, 2, 3) < 0.5).double()
    expected = stats.bernoulli.logpmf(x, p.logits.sigmoid().detach()).sum((-2, -1))
    torch.testing.assert_close(p.log_prob(x).detach(), torch.from_numpy(expected), rtol=1e-10, atol=1e-10)


def test_starts_at_the_training_mean_away_from_0_and_1():
    built = decoder()
    torch.nn.init.zeros_(built.network.linears[-1].weight)
    torch.nn.init.zeros_(built.network.linears[-1].bias)
    p = built(torch.randn(1, 1, 2, dtype=torch.float64))
    torch.testing.assert_close(p.mean[0, 0], MEAN.clamp(0.01, 0.99).double())


def test_extreme_logits_stay_finite():
    built = decoder()
    with torch.no_grad():
        built.offset.fill_(1e4)
        log_prob = built(torch.zeros(1, 1, 2).double()).log_prob(torch.zeros(1, 2, 3).double())
    assert log_prob.isfinite().all()
    assert log_prob.item() < -5.9e4
