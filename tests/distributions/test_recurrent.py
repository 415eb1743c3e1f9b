"""Steps given those before: a linear one is a normal, whose every figure is known."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from lvmbench import DiagonalNormal, LatentSpace, Recurrent, Refusal, Stream
from lvmbench.divergence import draw_kl

A, LOG_SCALE = torch.tensor([[0.5, -0.3], [0.8, 0.2]]).double(), torch.tensor([0.1, -0.4]).double()
START = torch.tensor([[0.3, -0.2], [1.0, 0.5], [0.0, 0.0]]).double()


def linear(steps=3):
    """z_t is normal about A times the sum of z before it and of the start."""
    return Recurrent(START, lambda s: (DiagonalNormal(s @ A.T, LOG_SCALE), lambda z: s + z), (2,) * steps)


def dense(steps=3):
    """The means and the covariance of all steps, by what each noise adds to each step."""
    state, total, means, rows = START, torch.zeros(2, 2 * steps).double(), [], []
    for t in range(steps):
        row = A @ total
        row[:, 2 * t : 2 * t + 2] += torch.diag(LOG_SCALE.exp())
        means, rows = [*means, state @ A.T], [*rows, row]
        state, total = state + state @ A.T, total + row
    factor = torch.cat(rows)
    return MultivariateNormal(torch.cat(means, -1), factor @ factor.T)


def test_a_linear_one_is_a_normal():
    z, log_q = linear().sample_and_log_prob(Stream.seeded(0, dtype=torch.float64), 5)
    torch.testing.assert_close(log_q, dense().log_prob(z))
    torch.testing.assert_close(linear().log_prob(z), log_q)


def test_draws_are_the_noise_pushed_through_the_steps():
    noise = Stream.seeded(0, dtype=torch.float64)
    z = linear().sample(Stream.seeded(0, dtype=torch.float64), 4)
    state, scale = START.expand(4, 3, 2), LOG_SCALE.exp()
    for shape, part in zip([(4, 3, 2), (1, 4, 3, 2), (1, 4, 3, 2)], z.split(2, -1), strict=True):
        due = state @ A.T + scale * noise.normal(shape).reshape(4, 3, 2)
        torch.testing.assert_close(part, due)
        state = state + part


def test_the_divergence_of_one_step_is_exact_and_of_more_that_given_the_steps_before():
    p = DiagonalNormal(torch.zeros(6).double(), torch.zeros(6).double())
    z = linear().sample(Stream.seeded(0, dtype=torch.float64), 4)
    given = [MultivariateNormal(q.mean, torch.diag((2 * LOG_SCALE).exp())) for q in linear().given(z)]
    unit = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    due = sum(kl_divergence(q, unit) for q in given)
    torch.testing.assert_close(draw_kl(linear(), p, z, Stream.seeded(0)), due)


def test_latents_are_shared_out_even():
    assert LatentSpace((14,)).shares("it", None) == (2,) * 7
    assert LatentSpace((11,)).shares("it", None) == (11,)
    assert LatentSpace((1,)).shares("it", 1) == (1,)
    for steps in (4, 28):
        with pytest.raises(Refusal, match="take steps=1, 2, 7, 14, or another latent size"):
            LatentSpace((14,)).shares("it", steps)
