"""The importance-weighted bound of a linear-Gaussian model."""

import math

import pytest
import torch

from lvmbench import Stream, Terms
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae


def terms(model, x, samples):
    return Terms(model, x, Stream.seeded(0, dtype=torch.float64), samples)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_one_sample_is_the_sampled_elbo(linear_model, points, weight):
    model = linear_model()
    ours, elbo = (f(terms(model, points, 1), weight) for f in (Iwae(samples=1), Elbo(kl="sampled")))
    torch.testing.assert_close(ours, elbo, rtol=1e-12, atol=1e-12)


def test_is_the_log_mean_weight(linear_model, points):
    drawn = terms(linear_model(), points, 6)
    weights = (drawn.log_likelihood + drawn.log_prior - drawn.log_q).exp()
    torch.testing.assert_close(Iwae(samples=6)(drawn), weights.mean(0).log())


@pytest.mark.statistical(
    "E_q[w] with p(x)", "of the 50,000 draws; q is wide here, so that the weights are bounded"
)
def test_mean_weight_is_the_density_of_x(linear_model, chance):
    model = linear_model()
    x = model.decoder.bias.detach() + torch.randn(5, 3, dtype=torch.float64)
    with torch.no_grad():
        model.posterior.network.linears[-1].bias[2:].fill_(0.7)
        drawn = terms(model, x, 50_000)
        ratio = (drawn.log_w() - model.exact_log_prob(x)).exp()
    chance.agrees(ratio, 1.0)


@pytest.mark.statistical("bounds at K and 2 K", "of the 4,000 draws, paired", comparisons=5)
def test_bound_does_not_fall_as_samples_are_added(linear_model, points, chance):
    model = linear_model()
    with torch.no_grad():
        log_w = terms(model, points, 16 * 4000).log_w().unflatten(0, (4000, 16))  # (N, 16, B)
        bounds = {
            k: (log_w.unflatten(1, (16 // k, k)).logsumexp(2) - math.log(k)).mean(1) for k in (1, 2, 4, 8, 16)
        }
        for k in (1, 2, 4, 8):
            chance.agrees(bounds[k] - bounds[2 * k], above=True)
        chance.agrees(bounds[16], model.exact_log_prob(points), above=True)
