"""Distributions against torch.distributions and scipy."""

import math

import pytest
import torch
from scipy import stats

from lvmbench import (
    Bernoulli,
    DiagonalNormal,
    Distribution,
    Flow,
    InvertibleFlow,
    LowRankNormal,
    Mixture,
    MultivariateNormal,
    Stream,
)
from lvmbench.distributions import traits_of

BATCHES = [(), (1,), (7,), (3, 7)]


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def diagonal(batch, event):
    loc, log_scale = randn(*batch, *event), randn(*batch, *event) / 3
    theirs = torch.distributions.Normal(loc, log_scale.exp())
    return DiagonalNormal(loc, log_scale, len(event)), torch.distributions.Independent(theirs, len(event))


def full(batch, event):
    loc, tril = (
        randn(*batch, *event),
        torch.linalg.cholesky(torch.eye(*event * 2) + 0.5 * torch.ones(event * 2)).double(),
    )
    return MultivariateNormal(loc, tril), torch.distributions.MultivariateNormal(loc, scale_tril=tril)


def low_rank(batch, event):
    loc, log_scale, factor = randn(*batch, *event), randn(*batch, *event) / 3, randn(*batch, *event, 2)
    theirs = torch.distributions.LowRankMultivariateNormal(loc, factor, (2 * log_scale).exp())
    return LowRankNormal(loc, log_scale, factor), theirs


def bernoulli(batch, event):
    logits = randn(*batch, *event)
    theirs = torch.distributions.Bernoulli(logits=logits)
    return Bernoulli(logits, len(event)), torch.distributions.Independent(theirs, len(event))


def mixture(batch, event):
    logits, (ours, theirs) = randn(*batch, 4), diagonal((*batch, 4), event)
    weights = torch.distributions.Categorical(logits=logits)
    return Mixture(logits, ours, len(event)), torch.distributions.MixtureSameFamily(weights, theirs)


CASES = [
    (diagonal, (2,)),
    (diagonal, (2, 3)),
    (full, (3,)),
    (low_rank, (4,)),
    (bernoulli, (4,)),
    (bernoulli, (2, 2)),
    (mixture, (2,)),
]
CASES += [(mixture, (2, 3))]
each = pytest.mark.parametrize(("make", "event"), CASES)
each_batch = pytest.mark.parametrize("batch", BATCHES, ids=str)


@each
@each_batch
@pytest.mark.parametrize("samples", [1, 3])
def test_shapes_and_log_prob_are_those_of_torch(make, event, batch, samples):
    ours, theirs = make(batch, event)
    value, log_prob = ours.sample_and_log_prob(Stream.seeded(0, dtype=torch.float64), samples)
    assert value.shape == (samples, *batch, *event)
    assert log_prob.shape == (samples, *batch)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.log_prob(value), log_prob, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.mean, theirs.mean.expand(*batch, *event))


@each
def test_log_prob_broadcasts_over_leading_dimensions(make, event):
    ours, _ = make((7,), event)
    value = ours.sample(Stream.seeded(0, dtype=torch.float64), 6).unflatten(0, (3, 2))
    torch.testing.assert_close(ours.log_prob(value), torch.stack([ours.log_prob(v) for v in value]))


@each
@pytest.mark.statistical("moments of samples with torch's", "of the 20,000 draws", comparisons=2)
def test_mean_and_variance_of_samples(make, event, chance):
    ours, theirs = make((3,), event)
    value = ours.sample(Stream.seeded(0, dtype=torch.float64), 20_000)
    centred = value - theirs.mean
    chance.agrees(centred)
    chance.agrees(centred**2, theirs.variance, slack=1e-9)


@each
def test_traits_hold(make, event):
    ours, _ = make((3,), event)
    assert ours.traits <= {
        "pathwise",
        "density",
        "mean",
        "enumerable",
        "components",
        "strata",
        "relaxable",
        "units",
    }
    if "components" in ours.traits:
        shares = ours.assign(ours.sample(Stream.seeded(0, dtype=torch.float64), 5))
        torch.testing.assert_close(shares.sum(-1), torch.ones(5, 3).double())
    else:
        with pytest.raises(NotImplementedError, match="'components'"):
            ours.assign(ours.mean)


def test_mean_that_is_not_declared_says_so():
    class Bare(Distribution):
        def log_prob(self, value): ...

        def sample_and_log_prob(self, noise, samples): ...

    with pytest.raises(NotImplementedError, match="Bare does not declare the trait 'mean'"):
        Bare().mean  # noqa: B018


@pytest.mark.statistical("correlations of samples with those of the law", "Fisher's z of 10,000 normal draws")
def test_correlations_of_the_full_normal(chance):
    ours, theirs = full((), (3,))
    found = torch.corrcoef(ours.sample(Stream.seeded(0, dtype=torch.float64), 10_000).T)
    scale = theirs.variance.sqrt()
    expected = theirs.covariance_matrix / scale[:, None] / scale
    pairs = torch.triu_indices(3, 3, 1).unbind()
    chance.within(found[pairs].atanh(), expected[pairs].atanh(), 1 / math.sqrt(10_000 - 3))


def test_extreme_logits_stay_finite():
    p = Bernoulli(torch.tensor([-200.0, 200.0]))
    assert p.log_prob(torch.tensor([0.0, 1.0])).item() == 0
    assert p.log_prob(torch.tensor([1.0, 0.0])).item() == -400


def test_mixture_of_a_hopeless_component_stays_finite_with_its_gradient():
    loc = torch.tensor([[0.0], [1e4]], requires_grad=True)
    log_prob = Mixture(torch.zeros(2), DiagonalNormal(loc, torch.zeros(2, 1))).log_prob(torch.zeros(1))
    assert log_prob.item() == pytest.approx(stats.norm.logpdf(0) - math.log(2))
    log_prob.backward()
    assert loc.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(2,), (3, 2), (4, 3, 2), (6, 4, 3, 2), (6, 4, 1, 2)])
def test_a_mixture_weighs_a_few_at_a_time_as_it_does_all(shape, monkeypatch):
    p = Mixture(torch.randn(3, 5), DiagonalNormal(torch.randn(3, 5, 2), torch.randn(3, 5, 2)))
    value = torch.randn(shape)
    whole = p.log_prob(value)
    monkeypatch.setattr("lvmbench.distributions.mixture.CHUNK", 70)
    assert torch.equal(p.log_prob(value), whole)


def test_what_a_mixture_can_do_depends_on_what_it_is_of():
    assert traits_of(Mixture[DiagonalNormal]) == {"density", "mean", "components", "strata"}
    assert traits_of(Mixture[MultivariateNormal]) == {"density", "mean", "components", "strata"}
    assert traits_of(Mixture[InvertibleFlow]) == {"density", "components", "strata"}
    assert traits_of(Mixture[Flow]) == {"components", "strata"}
    assert traits_of(Mixture) == {"components"}
    assert traits_of(DiagonalNormal) == DiagonalNormal.traits


def test_mixture_weights_of_zero_are_never_drawn():
    p = Mixture(
        torch.tensor([0.0, -torch.inf]), DiagonalNormal(torch.tensor([[0.0], [1e6]]), torch.zeros(2, 1))
    )
    value, log_prob = p.sample_and_log_prob(Stream.seeded(0), 1000)
    assert value.max() < 100
    assert log_prob.isfinite().all()
