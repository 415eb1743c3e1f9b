"""Discretised mixtures of logistics against scipy."""

import pytest
import torch
from scipy import stats

from lvmbench import DataSummary, LatentSpace, Stream
from lvmbench.distributions import DiscretizedLogisticMixture
from lvmbench_plugins.decoders.logistic_mixture import LogisticMixture


def masses(logits, loc, log_scale, levels, step):
    """The probability of each level, ``(levels, ...)``."""
    p = DiscretizedLogisticMixture(logits, loc, log_scale, levels, step, 0)
    values = step * torch.arange(levels).to(loc.dtype)
    return p.log_prob(values.reshape(-1, *[1] * (loc.dim() - 1))).exp()


@pytest.mark.parametrize(("levels", "step"), [(2, 1.0), (17, 1 / 16), (256, 1 / 255), (200, 1.0)])
def test_masses_are_differences_of_scipys_distribution_function(levels, step):
    noise = Stream.seeded(0, "mixture", dtype=torch.float64)
    logits, loc, log_scale = noise.normal((3, 6, 4))
    reach = step * (levels - 1)
    loc, log_scale = reach * loc, (reach * log_scale.exp()).log() - 1
    edges = step * (torch.arange(levels + 1.0).double() - 0.5)
    edges[0], edges[-1] = -torch.inf, torch.inf
    below = stats.logistic.cdf(edges[:, None, None], loc, log_scale.exp())
    due = (logits.softmax(-1) * torch.from_numpy(below).diff(dim=0)).sum(-1)
    torch.testing.assert_close(masses(logits, loc, log_scale, levels, step), due, rtol=1e-9, atol=1e-12)
    p = DiscretizedLogisticMixture(logits, loc, log_scale, levels, step)
    mean = (step * torch.arange(levels).double()[:, None] * due).sum(0)
    torch.testing.assert_close(p.mean, mean)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_scale", [-20.0, -7.7, -3.0, 0.0, 8.0, 40.0, 80.0])
@pytest.mark.parametrize("loc", [-300.0, -0.1, 0.3, 1.0, 50.0])
def test_masses_sum_to_one_whatever_the_scale(loc, log_scale, dtype):
    one = torch.ones(1, 1, dtype=dtype)
    total = masses(one, loc * one, log_scale * one, 256, 1 / 255).sum(0)
    torch.testing.assert_close(
        total, torch.ones(1, dtype=dtype), rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-9
    )


@pytest.mark.parametrize("log_scale", [-20.0, 0.0, 60.0])
def test_gradients_are_finite_at_every_level_whatever_the_scale(log_scale):
    loc, scale, logits = (torch.full((1, 2), value, requires_grad=True) for value in (0.3, log_scale, 0.0))
    p = DiscretizedLogisticMixture(logits, loc, scale, 256, 1 / 255)
    log_prob = p.log_prob(torch.arange(256.0).unsqueeze(1) / 255)
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in (loc, scale, logits))


@pytest.mark.statistical("how often each level is drawn with its probability", "chi-squared")
def test_samples_follow_the_masses(chance):
    logits, loc = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.2, 1.1]])
    log_scale = torch.tensor([[-3.0, -1.5]])
    p = DiscretizedLogisticMixture(logits, loc, log_scale, 5, 0.25, 1)
    x = p.sample(Stream.seeded(chance.seed, "levels"), 20_000)
    counts = [(x == level / 4).sum().item() for level in range(5)]
    due = 20_000 * masses(logits, loc, log_scale, 5, 0.25).squeeze(1)
    chance.likely(stats.chisquare(counts, due.double() / due.double().sum() * 20_000).pvalue)


def test_starts_with_components_over_all_of_the_range():
    for support, levels, reach in (("unit", 256, 1.0), ("count", 11, 10.0)):
        data = DataSummary((4,), support, torch.full((4,), reach / 2), levels=levels)
        built = LogisticMixture(data, LatentSpace((2,)), components=5)
        torch.nn.init.zeros_(built.network.linears[-1].weight)
        torch.nn.init.zeros_(built.network.linears[-1].bias)
        p = built(torch.zeros(1, 1, 2))
        torch.testing.assert_close(p.loc[0, 0, 0], reach * torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]))
        x = data.step * torch.arange(levels).float()[:, None, None, None].expand(-1, 1, 1, 4)
        fifths = p.units.log_prob(x).exp()[:, 0, 0, 0].detach().cumsum(0)[levels // 5 :: levels // 5]
        torch.testing.assert_close(fifths[:4], torch.tensor([0.2, 0.4, 0.6, 0.8]), rtol=0, atol=0.1)
