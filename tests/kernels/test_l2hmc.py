"""Learned leapfrog steps: what takes them back, their Jacobian, what they leave as it is,
and what a test of that must not let pass.

The networks have random weights, so that nothing is near the ordinary leapfrog.
"""

import math
from functools import partial

import pytest
import torch

from benchmarks.l2hmc import CHAINS, cases, ordinary, trained, worth
from lvmbench import Stream
from lvmbench.checks.contract import Violation
from lvmbench.kernels.hmc import Density, kinetic, leapfrog, metropolis
from lvmbench.kernels.l2hmc import LearnedLeapfrog, jump_loss, learned_transition
from lvmbench.noise import Buffer
from tests.kernels.invariance import BANANA, NORMAL, forgets, stays
from tests.statistical import Chance

F64 = torch.float64
TARGETS = {"normal": NORMAL, "banana": BANANA}
each_target = pytest.mark.parametrize("known", TARGETS.values(), ids=TARGETS)


def numbers(*shape, seed=0):
    return Stream.seeded(seed, dtype=F64).normal(shape)


def random_kernel(shape=(2,), count=2, *, step=0.4, spread=0.5):
    """Steps whose networks are far from 0."""
    kernel, noise = LearnedLeapfrog(shape, count, hidden=8, step=step).double(), Stream.seeded(0, dtype=F64)
    with torch.no_grad():
        kernel.log_step.fill_(math.log(step))  # in double precision
        for name, weight in kernel.named_parameters():
            if name != "log_step":
                weight.copy_(noise.normal(weight.shape) * spread / max(1, weight[0].numel()) ** 0.5)
    return kernel


def directions(chains):
    """Every other chain goes forwards."""
    return torch.arange(chains) % 2 == 0


@each_target
def test_steps_that_are_taken_back_end_where_they_began(known):
    kernel, target = random_kernel(count=6), Density(known.log_density)
    start, velocity, ahead = target.at(known.draw(numbers(20, 2))), numbers(20, 2, seed=1), directions(20)
    end, there, log_det = kernel(target, start, velocity, ahead)
    back, again, undone = kernel(target, end, there, ~ahead)
    torch.testing.assert_close((back.z, again), (start.z, velocity), rtol=0, atol=1e-6)
    torch.testing.assert_close(undone, -log_det)
    assert (end.z - start.z).abs().mean() > 0.3
    assert log_det.abs().mean() > 0.3


@each_target
@pytest.mark.parametrize("ahead", [True, False])
def test_the_log_of_the_jacobian_is_that_of_differentiation(known, ahead):
    kernel, target = random_kernel(), Density(known.log_density)
    ahead = torch.tensor([ahead])

    def end(both):
        z, velocity = both.unsqueeze(0).split(2, -1)
        state, velocity, log_det = kernel(target, target.at(z), velocity, ahead)
        return torch.cat([state.z, velocity], -1)[0], log_det

    jacobian = torch.autograd.functional.jacobian(lambda both: end(both)[0], numbers(4))
    torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, end(numbers(4))[1][0])
    assert end(numbers(4))[1].abs() > 0.1


@each_target
def test_where_networks_give_nothing_the_steps_are_the_ordinary_ones(known):
    """Going back is to go forwards with the velocity turned round."""
    kernel, target, step = (
        random_kernel(spread=0.0),
        Density(known.log_density),
        torch.full((6,), 0.4, dtype=F64),
    )
    start, velocity, ahead = target.at(known.draw(numbers(6, 2))), numbers(6, 2, seed=1), directions(6)
    end, there, log_det = kernel(target, start, velocity, ahead)
    sign = torch.where(ahead, 1.0, -1.0).unsqueeze(1)
    ordinary, after = leapfrog(target, start, sign * velocity, step, kernel.count)
    torch.testing.assert_close((end.z, there), (ordinary.z, sign * after))
    assert torch.equal(log_det, torch.zeros(6, dtype=F64))


def right(log_density, noise, spread=0.5):
    """The kernel as it is."""
    target, steps = Density(log_density), random_kernel(spread=spread)

    @torch.no_grad()
    def move(z):
        return learned_transition(steps, target, target.at(z), noise)[0].z

    return move


def wrong(gain_of, directions_of=lambda noise, z: noise.uniform(z.shape[:-1]) < 0.5):
    """A kernel that accepts otherwise, or goes in other directions."""

    def kernel(log_density, noise):
        target, steps = Density(log_density), random_kernel()

        @torch.no_grad()
        def move(z):
            state, velocity = target.at(z), noise.normal(z.shape)
            proposal, end, log_det = steps(target, state, velocity, directions_of(noise, z))
            density = proposal.log_density - state.log_density
            gain = gain_of(density, kinetic(velocity, 1) - kinetic(end, 1), log_det)
            return metropolis(gain, proposal, state, noise)[0].z

        return move

    return kernel


WRONG = {
    "every proposal": wrong(lambda density, energy, log_det: torch.zeros_like(density)),
    "no Jacobian": wrong(lambda density, energy, log_det: density + energy),
    "no energy of the velocity": wrong(lambda density, energy, log_det: density + log_det),
    "always ahead": wrong(
        lambda density, energy, log_det: density + energy + log_det,
        lambda noise, z: torch.ones(len(z), dtype=torch.bool),
    ),
}


@each_target
@pytest.mark.statistical(
    "moments and laws of 10,000 chains with those of the target",
    "of the chains; exact, by Kolmogorov and Smirnov",
    comparisons=2,
)
def test_a_transition_leaves_its_target_as_it_is(known, chance):
    stays(right, known, chance, chains=10_000)


@pytest.mark.statistical("densities at the ends of 4,000 chains with those where they began", "of the chains")
def test_a_chain_forgets_where_it_began(chance):
    """Of networks near 0: some that are far from it move chains hardly at all."""
    forgets(partial(right, spread=0.05), NORMAL, chance, chains=4000)


@each_target
@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernels_are_caught(name, known):
    with pytest.raises((AssertionError, Violation)):
        stays(WRONG[name], known, Chance(comparisons=2), chains=10_000)


@each_target
def test_a_good_share_is_rejected_where_kernels_are_tested(known):
    """Else a missing accept step would not show."""
    target = Density(known.log_density)
    start = target.at(known.draw(numbers(2000, 2)))
    _, accepted, _ = learned_transition(random_kernel(), target, start, Stream.seeded(0, dtype=F64))
    assert 0.2 < accepted.mean() < 0.95


def test_chains_of_many_data_are_moved_together_and_within_vmap():
    """Samples, data and seeds, of places of any shape: each as it would be alone."""
    normals, uniforms = numbers(3, 4 * 5 * 6, seed=1), numbers(3, 2 * 4 * 5, seed=2).sigmoid()
    z, kernel = numbers(3, 4, 5, 3, 2), random_kernel((3, 2))
    target = Density(lambda z: -0.25 * z.pow(4).sum((-2, -1)))

    def move(z, *numbers):
        return learned_transition(kernel, target, target.at(z), Buffer(*numbers))

    together, *figures = torch.vmap(move)(z, normals, uniforms)
    for seed in range(3):
        alone, *others = move(z[seed], normals[seed], uniforms[seed])
        torch.testing.assert_close((together.z[seed], *(f[seed] for f in figures)), (alone.z, *others))
    assert figures[0].shape == (3, 4, 5)


def test_gradients_of_the_jump_reach_every_weight():
    kernel, target = random_kernel(), Density(BANANA.log_density)
    names, weights = zip(*kernel.named_parameters(), strict=True)

    def jump(*weights):
        noise, given = Stream.seeded(1, dtype=F64), (target, target.at(numbers(4, 2)))
        call = torch.func.functional_call
        return call(
            _Jump(kernel), {f"kernel.{n}": w for n, w in zip(names, weights, strict=True)}, (*given, noise)
        )

    assert torch.autograd.gradcheck(jump, weights, fast_mode=True)
    found = torch.autograd.grad(jump(*weights).sum(), weights)
    assert all(gradient.abs().sum() > 0 for gradient in found)


class _Jump(torch.nn.Module):
    """The expected squared jump of a transition."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel

    def forward(self, target, state, noise):
        return learned_transition(self.kernel, target, state, noise)[2]


def test_one_value_is_moved_whole():
    kernel, target = random_kernel((1,)), Density(lambda z: -0.5 * z.square().sum(-1))
    state, _, _ = learned_transition(kernel, target, target.at(numbers(50, 1)), Stream.seeded(0, dtype=F64))
    assert (state.z != numbers(50, 1)).any()


def test_a_chain_that_leaves_what_is_finite_stays():
    bounded = Density(lambda z: torch.where(z > 1, torch.nan, z).log().sum(-1))
    start = bounded.at(torch.full((3, 1), 0.9, dtype=F64))
    state, accepted, _ = learned_transition(
        random_kernel((1,), step=100.0), bounded, start, Stream.seeded(0, dtype=F64)
    )
    assert torch.equal(state.z, start.z)
    assert torch.equal(accepted, torch.zeros(3, dtype=F64))


def test_the_loss_is_less_for_longer_jumps_and_finite_where_there_are_none():
    found = jump_loss(torch.tensor([0.0, 0.5, 2.0]))
    assert found.isfinite().all()
    assert (found.diff() < 0).all()
    torch.testing.assert_close(jump_loss(torch.tensor(8.0), scale=2.0), jump_loss(torch.tensor(2.0)))


@pytest.mark.slow
@pytest.mark.statistical(
    "effective samples per gradient of tuned HMC and of learned steps, in order",
    "of the variance of 400 means, by chi-squared",
)
def test_on_a_correlated_normal_a_gradient_is_worth_more_than_by_tuned_hmc(chance):
    """The setting of HMC is the best of the grid that the benchmark searches."""
    case, seed = cases()["2 dimensions, turned"], 1 + chance.seed
    tuned = worth(case.target, ordinary(case.target, 40, 0.4, 0.0), seed).per(40).least
    learned = worth(case.target, trained(case, seed), seed).per(case.leapfrogs).least
    chance.ordered(tuned, learned, learned * (2 / CHAINS) ** 0.5)


@pytest.mark.parametrize("log_step", [3.0, 8.0, 50.0])
def test_a_chain_whose_trajectory_goes_infinitely_far_has_not_moved(log_step):
    """Also where the square of how far is no number, or the density there is not."""
    kernel, normal = LearnedLeapfrog((2,), 2), Density(lambda z: -0.5 * z.square().sum(-1))
    with torch.no_grad():
        kernel.log_step.fill_(log_step)
    state = normal.at(torch.ones(5, 3, 2))
    moved, probability, jump = learned_transition(kernel, normal, state, Stream.seeded(0))
    assert torch.equal(moved.z, state.z)
    assert probability.eq(0).all()
    assert jump.eq(0).all()
