"""Sequential Monte Carlo against the Kalman filter, importance sampling, and its own enumeration."""

import math

import pytest
import torch

from lvmbench import DiagonalNormal, Stream
from lvmbench.checks.contract import Violation
from lvmbench.kernels.kalman import LinearSystem, filtered
from lvmbench.kernels.resampling import copies
from lvmbench.kernels.smc import Resampling, sweep
from lvmbench.noise import Recorder

F64 = torch.float64
EACH = [
    Resampling("never"),
    Resampling("always"),
    Resampling("ess", 0.7),
    Resampling("always", scheme="stratified"),
    Resampling("ess", 0.7, "systematic"),
]
each = pytest.mark.parametrize("resampling", EACH, ids=lambda it: f"{it.when} {it.scheme}")


def number(value):
    return torch.tensor(value, dtype=F64)


class Chain:
    """A chain of one latent and one value, and a posterior that does not know it well."""

    def __init__(self, x, move=0.9, shift=0.0):
        self.x, self.lasting = x, ~x.isnan().squeeze(-1)
        self.move, self.shift = number(move), number(shift)

    def start(self, samples):
        return self.x.new_zeros(samples, len(self.x), 1)

    def p(self, t, h):
        return DiagonalNormal(self.move * h, self.x.new_zeros(1))

    def q(self, t, h):
        x = torch.where(self.lasting[:, t, None], self.x[:, t], 0.0)
        return DiagonalNormal(0.7 * h + 0.2 * x + self.shift, self.x.new_full((1,), 0.2))

    def log_likelihood(self, t, z, h):
        x = torch.where(self.lasting[:, t, None], self.x[:, t], 0.0)
        return torch.where(
            self.lasting[:, t], DiagonalNormal(z, self.x.new_full((1,), -0.5)).log_prob(x), 0.0
        )

    def advance(self, t, h, z):
        return z

    @property
    def log_p(self):
        one, nil = torch.eye(1, dtype=F64), torch.zeros(1, dtype=F64)
        system = LinearSystem(nil, one, self.move * one, nil, one, one, nil, nil - 0.5)
        return filtered(system, self.x).log_prob.sum(-1)


def emitted(sequences, steps, seed=0):
    noise = Stream.seeded(seed, "data", dtype=F64)
    z, frames = torch.zeros(sequences, 1, dtype=F64), []
    for _ in range(steps):
        z = 0.9 * z + noise.normal(z.shape)
        frames.append(z + math.exp(-0.5) * noise.normal(z.shape))
    return torch.stack(frames, 1)


def estimates(chance, resampling, *, draws=6000, particles=3, **options):
    """Z_hat / Z of five sequences, ``(draws, 5)``."""
    way = Chain(emitted(5, 4).repeat(draws, 1, 1))
    found = sweep(way, Stream.seeded(chance.seed, dtype=F64), particles, resampling, **options)
    return (found.log_z - way.log_p).exp().unflatten(0, (draws, 5))


@each
@pytest.mark.statistical("the mean estimate of p(x) with that of the Kalman filter", "of the draws")
def test_the_mean_estimate_is_the_density(chance, resampling):
    chance.agrees(estimates(chance, resampling), 1.0)


@each
@pytest.mark.statistical("the mean estimate of p(x) with that of the Kalman filter", "of the draws")
def test_the_mean_estimate_of_particles_that_follow_the_prior_is_the_density(chance, resampling):
    chance.agrees(estimates(chance, resampling, bootstrap=True), 1.0)


class NextAncestor(Resampling):
    """Each particle becomes a copy of the one after its ancestor."""

    def resampled(self, h, log_w, index):
        return super().resampled(h, log_w, (index + 1) % len(h))


class WeightsKept(Resampling):
    """Copies keep the weights of their ancestors."""

    def resampled(self, h, log_w, index):
        return copies(h, index), copies(log_w, index)


@pytest.mark.parametrize("wrong", [NextAncestor, WeightsKept])
@pytest.mark.statistical("the mean estimate of p(x) of wrong resampling", "of the draws")
def test_wrong_resampling_is_seen(chance, wrong):
    with pytest.raises(Violation, match="the figure should be 1"):
        chance.agrees(estimates(chance, wrong("always")), 1.0)


def test_without_resampling_it_is_the_mean_weight_of_whole_sequences():
    way = Chain(emitted(7, 6))
    found = sweep(way, Stream.seeded(0, dtype=F64), 4, Resampling("never")).log_z
    noise, h, log_w = Stream.seeded(0, dtype=F64), way.start(4), 0.0
    for t in range(6):
        z, log_q = (part[0] for part in way.q(t, h).sample_and_log_prob(noise, 1))
        log_w = log_w + way.log_likelihood(t, z, h) + way.p(t, h).log_prob(z) - log_q
        h = way.advance(t, h, z)
    torch.testing.assert_close(found, log_w.logsumexp(0) - math.log(4))


def test_weights_that_are_always_worth_enough_are_left_alone():
    """Which draws the numbers of resampling all the same."""
    way = Chain(emitted(7, 6))
    rare = sweep(way, Even(), 4, Resampling("ess", 0.01))
    never = sweep(way, Even(), 4, Resampling("never"))
    assert torch.equal(rare.gains, never.gains)
    assert not rare.log_choices.any()


class Even(Stream):
    """Two streams, so that normal numbers do not depend on how many uniform ones are drawn."""

    def __init__(self, seed=0):
        self.apart = Stream.seeded(seed, "uniform", dtype=F64)
        super().__init__(Stream.seeded(seed, dtype=F64).generator, F64)

    def uniform(self, shape):
        return self.apart.uniform(shape)


@each
def test_one_particle_has_its_own_weight(resampling):
    way = Chain(emitted(7, 6))
    one = sweep(way, Stream.seeded(0, dtype=F64), 1, resampling).log_z
    torch.testing.assert_close(one, sweep(way, Stream.seeded(0, dtype=F64), 1, Resampling("never")).log_z)


@each
def test_steps_after_the_end_add_nothing(resampling):
    x = emitted(5, 6)
    x[:3, 4:] = torch.nan
    gains, choices = sweep(Chain(x), Even(), 4, resampling)
    assert not gains[4:, :3].any()
    assert not choices[4:, :3].any()
    shorter = sweep(Chain(x[:, :4]), Even(), 4, resampling)
    torch.testing.assert_close(gains[:4].sum(0)[:3], shorter.log_z[:3])


@each
def test_as_many_random_numbers_whatever_the_weights(resampling):
    def demand(x):
        noise = Recorder(Stream.seeded(0, dtype=F64))
        sweep(Chain(x), noise, 4, resampling)
        return noise.demand

    x = emitted(5, 6)
    assert demand(x) == demand(100 * x) == demand(x.masked_fill(x > 0, torch.nan))


class Chosen(Stream):
    """Given normal numbers, and uniform ones by which given ancestors are chosen."""

    def __init__(self, normals, uniforms):
        self.normals, self.uniforms = iter(normals), iter(uniforms)

    def normal(self, shape):
        return next(self.normals).reshape(tuple(shape))

    def uniform(self, shape):
        return next(self.uniforms).reshape(tuple(shape))


def test_the_score_of_choices_gives_the_gradient_of_the_mean():
    """Of two particles and three steps, where all choices can be summed over, by differences.

    The normal numbers are given, so that nothing is left to chance.
    """
    normals = emitted(2, 3, seed=1).reshape(2, 3, 1).unbind(1)
    x = emitted(1, 3)

    def found(shift, choice):
        """The sweep of a choice of ancestors, each the first or the second of two, and how likely it is."""
        # the first is chosen by 0, the second by what is nearly 1, whatever their weights
        uniforms = [torch.tensor([[a], [b]], dtype=F64) * (1 - 1e-12) for a, b in choice]
        way = Chain(x, shift=0.0)
        way.shift = shift
        it = sweep(way, Chosen(normals, uniforms), 2, Resampling("always"))
        return it, it.log_choices.sum(0).exp()

    choices = [((a, b), (c, d)) for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)]

    def mean(shift):
        return sum((likely * it.log_z).sum() for it, likely in (found(shift, c) for c in choices))

    shift = number(0.3).requires_grad_()
    assert sum(found(shift, c)[1] for c in choices).item() == pytest.approx(1)
    total = 0.0
    for choice in choices:
        it, likely = found(shift, choice)
        (slope,) = torch.autograd.grad(it.surrogate().sum(), shift)
        total = total + likely.item() * slope
    step = 1e-5
    with torch.no_grad():
        expected = (mean(shift + step) - mean(shift - step)) / (2 * step)
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.statistical(
    "log Z of more and more particles, of importance sampling, and log p(x)", "of the draws", comparisons=3
)
def test_the_log_rises_to_the_exact_density_and_leaves_importance_sampling_behind(chance):
    """Of sequences of 50 steps."""
    x = emitted(200, 50, chance.seed)

    def short(particles, resampling=EACH[1], sequences=200):
        way = Chain(x[:sequences])
        found = sweep(way, Stream.seeded(chance.seed, particles, dtype=F64), particles, resampling)
        return way.log_p - found.log_z

    few, some, many = short(4), short(16), short(128)
    gains = torch.stack([few - some, some - many], 1)
    chance.ordered(torch.zeros(2), gains.mean(0), gains.std(0) / math.sqrt(200))
    # a tenth of what is left to as many samples of whole sequences, or less
    chance.agrees(10 * many[:50] - short(128, EACH[0], 50), 0.0, above=True)
    chance.agrees(short(1024, sequences=20), 0.0, slack=0.2)
