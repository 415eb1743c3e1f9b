"""Ascent in the logits of each datum, against exact coordinate ascent and sums over every z."""

import math

import pytest
import torch

from lvmbench import Bernoulli, DataSummary, LatentVariableModel, Stream
from lvmbench_plugins.decoders.fully_visible import FullyVisibleDecoder
from lvmbench_plugins.posteriors.bernoulli_svi import LARGEST, BernoulliSvi
from lvmbench_plugins.priors.fully_visible import FullyVisiblePrior

F, SHAPE, SEEDS = 4, (1, 2, 3), 20
DATA = DataSummary(SHAPE, "binary", torch.full(SHAPE, 0.5), factors=F)


def built(scale=1.0, **options):
    """A random network of 4 latents and 6 values, whose log p(x) is a sum."""
    torch.manual_seed(0)
    prior = FullyVisiblePrior(DATA, F)
    decoder = FullyVisibleDecoder(DATA, prior.space)
    for part in (prior, decoder):
        for weight in part.parameters():
            torch.nn.init.normal_(weight, 0, scale)
    model = LatentVariableModel(prior, BernoulliSvi(DATA, prior.space, **options), decoder)
    return model.double().eval()


@pytest.fixture
def x():
    return (torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1)) < 0.5).double()


def elbos(model, x, logits):
    """The exact ELBO of independent bits of these logits, ``(B,)``, by a sum over every z."""
    z = model.prior.space.values(x).unsqueeze(1)
    log_q = Bernoulli(logits).log_prob(z)
    return (log_q.exp() * (model.log_joint(x, z) - log_q)).sum(0)


def by_coordinates(model, x, sweeps=200):
    """The logits that coordinate ascent comes to from fair bits: each is the expected log odds of its bit."""
    z = model.prior.space.values(x).unsqueeze(1)
    joint, logits = model.log_joint(x, z), x.new_zeros(len(x), F)
    for d in list(range(F)) * sweeps:
        others = torch.cat([logits[:, :d], logits[:, d + 1 :]], 1)
        rest = torch.cat([z[..., :d], z[..., d + 1 :]], -1)
        weight = Bernoulli(others).log_prob(rest).exp()
        logits[:, d] = (weight * joint * (2 * z[..., d] - 1)).sum(0)
    return logits


def test_exact_gradients_come_to_the_optimum_of_coordinate_ascent(x):
    model = built(estimator="enumeration", steps=150)
    best = elbos(model, x, by_coordinates(model, x))
    found = elbos(model, x, model.q(x).logits)
    torch.testing.assert_close(found, best, rtol=0, atol=1e-3)
    assert (best < model.exact_log_prob(x)).all()


@pytest.mark.parametrize("estimator", ["score", "rebar"])
@pytest.mark.statistical("what is left to the optimum, below a thirtieth of what is at first", "of 20 seeds")
def test_noisy_gradients_come_near_it(x, estimator, chance):
    model = built(estimator=estimator)
    best, first = (elbos(model, x, logits).mean() for logits in (by_coordinates(model, x), x.new_zeros(5, F)))
    numbers = Stream.seeded(0, estimator, dtype=torch.float64).uniform((SEEDS, *model.posterior.noise.shape))
    left = best - torch.func.vmap(lambda one: elbos(model, x, _found(model, x, one)).mean())(numbers)
    chance.ordered(left.mean(), (best - first) / 30, left.std() / SEEDS**0.5)


def _found(model, x, numbers):
    return torch.func.functional_call(model.posterior, {"noise": numbers}, (x, model)).logits


@pytest.mark.parametrize("estimator", ["score", "rebar"])
@pytest.mark.statistical("the mean slope with the sum over every z", "of 2,000 slopes of 5 samples")
def test_slopes_are_unbiased(x, estimator, chance):
    model = built(scale=0.7, estimator=estimator, samples=5, steps=1)
    logits = torch.linspace(-1.5, 1.5, len(x) * F, dtype=torch.float64).reshape(len(x), F)
    exact = torch.func.grad(lambda at: elbos(model, x, at).sum())(logits)
    shape = model.posterior.noise.shape[1:]
    numbers = Stream.seeded(0, estimator, dtype=torch.float64).uniform((2000, *shape))
    with torch.no_grad():
        slope = model.posterior._slope
        draws = torch.func.vmap(lambda one: slope(logits, x, model, model.p(), one))(numbers)
    chance.agrees(draws, exact)


def test_without_steps_it_is_where_it_starts(x):
    """At 0.5 the ELBO is the mean over all z less their log probability; at 1 it is log p(x, z = 1)."""
    fair, ones = built(steps=0), built(steps=0, start=1.0)
    z = fair.prior.space.values(x).unsqueeze(1)
    joint = fair.log_joint(x, z)
    torch.testing.assert_close(elbos(fair, x, fair.q(x).logits), joint.mean(0) + F * math.log(2))
    torch.testing.assert_close(elbos(ones, x, ones.q(x).logits), joint[-1], rtol=0, atol=1e-5)
    assert (ones.q(x).logits == LARGEST).all()
    assert (ones.q(x).sample(Stream.seeded(0), 1000) == 1).all()


def test_where_all_values_are_alike_nothing_moves(x):
    """Before learning there is nothing to find: q is the true posterior, and knows nothing."""
    model = built(scale=0.0, estimator="enumeration", steps=5)
    torch.testing.assert_close(model.q(x).mean, torch.full((5, F), 0.5, dtype=torch.float64))
    torch.testing.assert_close(elbos(model, x, model.q(x).logits), model.exact_log_prob(x))


def test_what_is_found_for_a_datum_does_not_depend_on_the_others(x):
    model = built(steps=20)
    torch.testing.assert_close(model.q(x).logits[2:3], model.q(x[2:3]).logits)


def test_only_a_sum_over_z_needs_few_values():
    prior = FullyVisiblePrior(DATA, F)
    needs = [BernoulliSvi(DATA, prior.space, estimator=e).requires for e in ("score", "rebar", "enumeration")]
    assert ["prior.enumerable" in need for need in needs] == [False, False, True]
