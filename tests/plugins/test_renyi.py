"""Renyi bounds against their closed form on a normal model, and their order in alpha and K."""

import itertools
import math

import pytest
import torch

from lvmbench import Refusal, Stream, Terms
from lvmbench_plugins.objectives.ciwae import Ciwae
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.objectives.renyi import Renyi
from lvmbench_plugins.objectives.vr_max import VrMax


def closed_form(line, alpha):
    """log p(x) - D_alpha(q || p(z|x)) of two normals, for alpha other than 1."""
    (m, log_s), w = line.model.posterior.weights.tolist(), line.model.decoder.weight.item()
    v0, v1 = math.exp(2 * log_s), 1 / (1 + w * w)
    mean = w * line.x * v1
    log_p = -0.5 * math.log(2 * math.pi * (1 + w * w)) - 0.5 * line.x**2 / (1 + w * w)
    v = alpha * v1 + (1 - alpha) * v0
    divergence = 0.5 * alpha * (m - mean) ** 2 / v
    divergence += 0.5 / (1 - alpha) * (math.log(v) - (1 - alpha) * math.log(v0) - alpha * math.log(v1))
    return log_p - divergence


def bounds(line, objective, draws):
    x = torch.full((draws, 1), line.x, dtype=torch.float64)
    with torch.no_grad():
        return objective(Terms(line.model, x, Stream.seeded(0, dtype=torch.float64), objective.samples))


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.statistical(
    "bounds of 20,000 samples with their limit", "of the 200 draws; the bias is of order 1 / 20,000"
)
def test_many_samples_reach_the_closed_form(line, alpha, chance):
    chance.agrees(bounds(line, Renyi(alpha=alpha, samples=20_000), 200), closed_form(line, alpha), slack=2e-3)


def test_order_of_one_is_the_elbo_and_of_zero_the_importance_weighted_bound(line):
    for renyi, other in ((Renyi(alpha=1.0), Elbo(samples=5, kl="sampled")), (Renyi(alpha=0.0), Iwae())):
        torch.testing.assert_close(bounds(line, renyi, 50), bounds(line, other, 50))


def test_the_bound_falls_with_the_order_draw_by_draw(line):
    """A power mean of the same weights rises with its exponent.

    The largest weight is above all, the mean log below.
    """
    every = [bounds(line, Renyi(alpha=a, samples=6), 100) for a in (-5.0, -1.0, 0.0, 0.5, 1.0, 3.0)]
    every = [bounds(line, VrMax(samples=6), 100), *every]
    assert all((a >= b - 1e-12).all() for a, b in itertools.pairwise(every))


@pytest.mark.statistical("bounds of 1 and 20 samples, in order", "of the 4,000 draws")
def test_more_samples_are_tighter_below_order_one(line, chance):
    few, many = (bounds(line, Renyi(alpha=0.5, samples=k), 4000) for k in (1, 20))
    rise, error = many.mean() - few.mean(), math.hypot(many.std(), few.std()) / math.sqrt(4000)
    chance.ordered(0.0, rise, error)


def test_ciwae_is_between_its_ends(line):
    mixed, elbo, iwae = (
        bounds(line, o, 50) for o in (Ciwae(beta=0.3), Elbo(samples=5, kl="sampled"), Iwae(samples=5))
    )
    torch.testing.assert_close(mixed, 0.3 * elbo + 0.7 * iwae)


@pytest.mark.parametrize("alpha", [1.5, -0.5])
def test_an_order_that_gives_no_bound_is_refused_where_a_bound_is_asked_for(alpha):
    assert not Renyi(alpha=alpha).lower_bound
    with pytest.raises(Refusal, match="no lower bound"):
        Renyi(alpha=alpha, bound=True)
