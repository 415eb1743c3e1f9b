"""The Kalman filter and the posterior of linear-Gaussian sequences against dense normal distributions."""

import pytest
import torch
from torch.func import vmap

from lvmbench import MultivariateNormal, Stream
from lvmbench.kernels.kalman import LinearSystem, filtered, smoothed

F64 = torch.float64
STEPS = 50


def system(latent=3, dims=4, *, spectral=0.9, noise=0.5, move=0.3):
    """A stable system, or where ``spectral`` is above 1 one that runs away."""
    draw = Stream.seeded(0, dtype=F64).normal
    rotation = torch.linalg.qr(draw((latent, latent)))[0]
    factor = torch.eye(latent, dtype=F64) + 0.3 * draw((latent, latent)).tril(-1)
    return LinearSystem(
        loc=draw((latent,)),
        scale=2 * factor,
        transition=spectral * rotation,
        drift=0.1 * draw((latent,)),
        innovation=move * factor,
        emission=draw((dims, latent)),
        bias=draw((dims,)),
        log_noise=torch.full((dims,), noise, dtype=F64).log() + 0.2 * draw((dims,)),
    )


def latents(s, steps):
    """The mean of all z, ``(T Z)``, and a factor of their covariance, ``(T Z, T Z)``."""
    size = len(s.loc)
    # z - A z before is what is new at each step
    back = torch.eye(steps * size, dtype=F64)
    for t in range(1, steps):
        back[t * size : (t + 1) * size, (t - 1) * size : t * size] = -s.transition
    new = torch.cat([s.loc, *[s.drift] * (steps - 1)])
    root = torch.block_diag(s.scale, *[s.innovation] * (steps - 1))
    return torch.linalg.solve(back, new), torch.linalg.solve_triangular(back, root, upper=False)


def emitted(s, x):
    """What was observed of x, less its mean at z = 0, the matrix that makes it of all z, and its noise."""
    seen = ~x.isnan()
    emission = torch.block_diag(*[s.emission[row] for row in seen])
    bias, log_noise = (torch.cat([part[row] for row in seen]) for part in (s.bias, s.log_noise))
    return x[seen] - bias, emission, log_noise


def dense_log_prob(s, x):
    """log p(x) of one sequence."""
    loc, root = latents(s, len(x))
    x, emission, log_noise = emitted(s, x)
    signal = emission @ root
    covariance = signal @ signal.mT + torch.diag((2 * log_noise).exp())
    return MultivariateNormal(emission @ loc, torch.linalg.cholesky(covariance)).log_prob(x)


def dense_posterior(s, x):
    """The mean and the covariance of all z of one sequence, given x."""
    loc, root = latents(s, len(x))
    x, emission, log_noise = emitted(s, x)
    weighted = emission.mT * (-2 * log_noise).exp()
    told = root.mT @ weighted @ emission @ root
    factor = torch.linalg.cholesky(torch.eye(len(loc), dtype=F64) + told)
    half = torch.linalg.solve_triangular(factor, root.mT, upper=False)
    return loc + half.mT @ (half @ (weighted @ (x - emission @ loc))), half.mT @ half


def draws(s, batch, steps=STEPS):
    noise = Stream.seeded(1, dtype=F64)
    z, frames = s.loc + noise.normal((batch, len(s.loc))) @ s.scale.mT, []
    for _ in range(steps):
        frames.append(z @ s.emission.mT + s.bias + s.log_noise.exp() * noise.normal((batch, len(s.bias))))
        z = z @ s.transition.mT + s.drift + noise.normal(z.shape) @ s.innovation.mT
    return torch.stack(frames, 1)


def holes(x):
    """Sequences of different lengths, with gaps before their ends."""
    gone = Stream.seeded(2).uniform(x.shape) < 0.2
    gone[0, 30:], gone[1, 1:], gone[2, 5:9], gone[3, :4] = (True,) * 4
    gone[1, 0] = False
    return x.masked_fill(gone, torch.nan)


CASES = {
    "plain": system(),
    "hardly any noise of x": system(noise=1e-4),
    "hardly any noise of z": system(move=1e-5),
    "hardly any noise of either": system(noise=1e-4, move=1e-4),
    "much noise": system(noise=1e4),
    "more latents than values": system(latent=6, dims=2, noise=1e-3),
    "one that runs away": system(spectral=1.2),
    "a walk": system(spectral=1.0),
}
cases = pytest.mark.parametrize("s", CASES.values(), ids=CASES)


@cases
@pytest.mark.parametrize("seen", [lambda x: x, holes], ids=["complete", "with holes"])
def test_the_density_is_that_of_a_dense_normal(s, seen):
    x = seen(draws(s, 5))
    expected = torch.stack([dense_log_prob(s, one) for one in x])
    torch.testing.assert_close(filtered(s, x).log_prob.sum(-1), expected, rtol=1e-6, atol=1e-6)


@cases
@pytest.mark.parametrize("seen", [lambda x: x, holes], ids=["complete", "with holes"])
def test_the_posterior_is_that_of_a_dense_normal(s, seen):
    """The mean and the covariance of all steps, in the units of the standard deviations."""
    x = seen(draws(s, 5))
    for one, *found in zip(x, *smoothed(s, x), strict=True):
        mean, covariance = dense_posterior(s, one)
        scale = covariance.diagonal().sqrt()
        m, c = unrolled(*found)
        torch.testing.assert_close(m / scale, mean / scale, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(
            c / scale / scale[:, None], covariance / scale / scale[:, None], rtol=1e-6, atol=1e-6
        )


def unrolled(gain, shift, scale):
    """The mean and covariance of a sequence whose steps are given as conditionals."""
    steps, size = shift.shape
    loc, root, before = [], [], (shift.new_zeros(size), shift.new_zeros(size, steps * size))
    for t in range(steps):
        m, r = gain[t] @ before[0] + shift[t], gain[t] @ before[1]
        r[:, t * size : (t + 1) * size] = scale[t]
        before = m, r
        loc.append(m)
        root.append(r)
    root = torch.cat(root)
    return torch.cat(loc), root @ root.mT


def test_the_filter_knows_the_last_step_as_the_posterior_does():
    s = CASES["plain"]
    x = draws(s, 4)
    *found, _ = filtered(s, x)
    for one, loc, covariance in zip(x, *found, strict=True):
        mean, everything = dense_posterior(s, one)
        torch.testing.assert_close(loc[-1], mean[-3:])
        torch.testing.assert_close(covariance[-1], everything[-3:, -3:])


def test_factors_are_lower_triangular_and_the_first_step_has_no_gain():
    gain, _, scale = smoothed(CASES["plain"], draws(CASES["plain"], 4))
    assert torch.equal(scale, scale.tril())
    assert torch.equal(gain[:, 0], torch.zeros(4, 3, 3, dtype=F64))


def test_steps_after_the_end_change_nothing():
    s = CASES["plain"]
    x = draws(s, 4, 7)
    longer = torch.cat([x, torch.full_like(x, torch.nan)], 1)
    torch.testing.assert_close(filtered(s, longer).log_prob[:, :7], filtered(s, x).log_prob)
    assert torch.equal(filtered(s, longer).log_prob[:, 7:], torch.zeros(4, 7, dtype=F64))
    for there, here in zip(smoothed(s, longer), smoothed(s, x), strict=True):
        torch.testing.assert_close(there[:, :7], here)


@pytest.mark.parametrize("found", [filtered, smoothed])
def test_systems_side_by_side_are_as_each_alone(found):
    both = [CASES["plain"], CASES["a walk"]]
    x = holes(draws(both[0], 5, 40))
    together = vmap(lambda *parts: found(LinearSystem(*parts), x))(*map(torch.stack, zip(*both, strict=True)))
    for k, s in enumerate(both):
        for there, here in zip(together, found(s, x), strict=True):
            torch.testing.assert_close(there[k], here)


def test_single_precision_is_as_good_as_its_numbers():
    """With little noise, which single precision within would not stand."""
    s = system(noise=1e-3)
    x = draws(s, 5)
    low, high = (
        LinearSystem(*(part.float() for part in s)),
        LinearSystem(*(part.float().double() for part in s)),
    )
    for found in (filtered, smoothed):
        for there, here in zip(found(low, x.float()), found(high, x.float().double()), strict=True):
            torch.testing.assert_close(there, here.float())


def test_gradients_are_those_of_the_dense_density():
    s = system(latent=2, dims=2)
    x = draws(s, 1, 4)
    x[0, 1, 0], x[0, 3] = torch.nan, torch.nan
    parts = [part.requires_grad_() for part in s]
    expected = torch.autograd.grad(dense_log_prob(s, x[0]), parts)
    found = torch.autograd.grad(filtered(s, x).log_prob.sum(), parts)
    for there, here in zip(found, expected, strict=True):
        torch.testing.assert_close(there, here)
    (slope,) = torch.autograd.grad(sum(part.sum() for part in smoothed(s, x)), [s.emission])
    assert slope.isfinite().all()
