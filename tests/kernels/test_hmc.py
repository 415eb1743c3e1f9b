"""Hamiltonian transitions: what they leave as it is, what turns them back,
and what a test of that must not let pass.
"""

import math
from typing import NamedTuple

import pytest
import torch

from lvmbench import Stream
from lvmbench.checks.contract import Violation
from lvmbench.kernels.hmc import AIM, FIRST, Density, adapted, kinetic, leapfrog, metropolis, transition
from lvmbench.noise import Buffer
from tests.kernels.invariance import BANANA, NORMAL, forgets, stays
from tests.statistical import Chance

F64 = torch.float64
TARGETS = {"normal": NORMAL, "banana": BANANA}
STEP = {"normal": 0.5, "banana": 0.4}
"""Near the edge of what is stable, so that a good share is rejected."""
COUNT = 4


def numbers(*shape, seed=0):
    return Stream.seeded(seed, dtype=F64).normal(shape)


def steps(size, *chains):
    return torch.full(chains, size, dtype=F64)


def right(size):
    """The kernel as it is, with steps of this size."""

    def kernel(log_density, noise):
        target = Density(log_density)
        return lambda z: transition(target, target.at(z), steps(size, len(z)), COUNT, noise)[0].z

    return kernel


def every_proposal(size):
    """A missing accept step."""

    def kernel(log_density, noise):
        target = Density(log_density)
        return lambda z: (
            leapfrog(target, target.at(z), noise.normal(z.shape), steps(size, len(z)), COUNT)[0].z
        )

    return kernel


def one_velocity(size):
    """A velocity that is drawn once, and with which every trajectory begins."""

    def kernel(log_density, noise):
        target, first = Density(log_density), []

        def move(z):
            first.append(noise.normal(z.shape))
            return ended(target, z, first[0], size, noise)[0]

        return move

    return kernel


def kept_velocity(size):
    """A velocity that is drawn once and goes on from trajectory to trajectory, turned where one is rejected.

    That leaves place and velocity as they are together: only what it does not forget tells.
    """

    def kernel(log_density, noise):
        target, kept = Density(log_density), []

        def move(z):
            kept[:] = kept or [noise.normal(z.shape)]
            z, kept[0] = ended(target, z, kept[0], size, noise)
            return z

        return move

    return kernel


def without_kinetic(size):
    """An acceptance without the energy of the velocity."""

    def kernel(log_density, noise):
        target = Density(log_density)

        def move(z):
            state = target.at(z)
            proposal, _ = leapfrog(target, state, noise.normal(z.shape), steps(size, len(z)), COUNT)
            return metropolis(proposal.log_density - state.log_density, proposal, state, noise)[0].z

        return move

    return kernel


def ended(target, z, velocity, size, noise):
    """Place and velocity after a trajectory that may be rejected."""
    state = target.at(z)
    proposal, end = leapfrog(target, state, velocity, steps(size, len(z)), COUNT)
    gain = proposal.log_density - kinetic(end, 1) - state.log_density + kinetic(velocity, 1)
    return metropolis(gain, Moving(proposal.z, end), Moving(z, -velocity), noise)[0]


class Moving(NamedTuple):
    """A place and a velocity."""

    z: torch.Tensor
    velocity: torch.Tensor


WRONG = {
    every_proposal: stays,
    one_velocity: stays,
    kept_velocity: forgets,
    without_kinetic: stays,
}
"""Wrong kernels, and what must tell that they are."""


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.statistical(
    "moments and laws of 20,000 chains with those of the target",
    "of the chains; exact, by Kolmogorov and Smirnov",
    comparisons=2,
)
def test_a_transition_leaves_its_target_as_it_is(name, chance):
    stays(right(STEP[name]), TARGETS[name], chance)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.statistical(
    "densities at the ends of 20,000 chains with those where they began", "of the chains"
)
def test_a_chain_forgets_where_it_began(name, chance):
    forgets(right(STEP[name]), TARGETS[name], chance)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
@pytest.mark.parametrize("name", TARGETS)
def test_wrong_kernels_are_caught(wrong, name):
    with pytest.raises((AssertionError, Violation)):
        WRONG[wrong](wrong(STEP[name]), TARGETS[name], Chance(comparisons=2))


def test_a_good_share_is_rejected_where_kernels_are_tested():
    """Else a missing accept step would not show."""
    for name, known in TARGETS.items():
        target = Density(known.log_density)
        start = target.at(known.draw(numbers(2000, 2)))
        _, accepted = transition(target, start, steps(STEP[name], 2000), COUNT, Stream.seeded(0, dtype=F64))
        assert 0.3 < accepted.mean() < 0.95


@pytest.mark.parametrize("known", TARGETS.values(), ids=TARGETS)
def test_a_trajectory_turned_round_ends_where_it_began(known):
    target, velocity, step = Density(known.log_density), numbers(20, 2, seed=1), steps(0.2, 20)
    start = target.at(known.draw(numbers(20, 2)))
    end, there = leapfrog(target, start, velocity, step, 20)
    back, again = leapfrog(target, end, -there, step, 20)
    torch.testing.assert_close((back.z, -again), (start.z, velocity), rtol=0, atol=1e-6)
    assert (end.z - start.z).abs().mean() > 0.5


@pytest.mark.parametrize("known", TARGETS.values(), ids=TARGETS)
def test_a_trajectory_keeps_volume(known):
    target = Density(known.log_density)

    def end(both):
        z, velocity = both.unsqueeze(0).split(2, -1)
        state, velocity = leapfrog(target, target.at(z), velocity, steps(0.3, 1), 5)
        return torch.cat([state.z, velocity], -1)[0]

    jacobian = torch.autograd.functional.jacobian(end, numbers(4))
    torch.testing.assert_close(jacobian.det().abs(), torch.ones((), dtype=F64))


@pytest.mark.parametrize("known", TARGETS.values(), ids=TARGETS)
def test_the_error_of_the_energy_is_of_order_two_in_the_step(known):
    """Of trajectories of one length: a step half as long leaves a fourth, but for terms of the next order."""
    target, velocity = Density(known.log_density), numbers(200, 2, seed=1)
    start = target.at(known.draw(numbers(200, 2)))

    def error(count):
        end, there = leapfrog(target, start, velocity, steps(0.5 / count, 200), count)
        return (end.log_density - kinetic(there, 1) - start.log_density + kinetic(velocity, 1)).abs().mean()

    for count in (50, 100):
        assert error(count) / error(2 * count) == pytest.approx(4, rel=0.01)


def test_steps_of_coordinates_are_masses():
    """The chain is that of values divided by them."""
    sizes = torch.tensor([0.2, 0.7], dtype=F64)
    scaled = Density(lambda z: NORMAL.log_density(z * sizes))
    z = numbers(6, 2)
    end, _ = leapfrog(
        Density(NORMAL.log_density), Density(NORMAL.log_density).at(z), z, sizes.expand(6, 2), 3
    )
    other, _ = leapfrog(scaled, scaled.at(z / sizes), z, steps(1.0, 6), 3)
    torch.testing.assert_close(end.z, other.z * sizes)


def test_chains_of_many_data_are_moved_together_and_within_vmap():
    """Samples, data and seeds: each as it would be alone."""
    normals, uniforms = numbers(3, 4 * 5 * 2, seed=1), numbers(3, 4 * 5, seed=2).sigmoid()
    z, target = numbers(3, 4, 5, 2), Density(BANANA.log_density)

    def move(z, *numbers):
        return transition(target, target.at(z), steps(0.4, 1, 5), COUNT, Buffer(*numbers))

    together, chances = torch.vmap(move)(z, normals, uniforms)
    for seed in range(3):
        alone, accepted = move(z[seed], normals[seed], uniforms[seed])
        torch.testing.assert_close((together.z[seed], chances[seed]), (alone.z, accepted))
    assert chances.shape == (3, 4, 5)
    assert not together.z.requires_grad


def test_gradients_pass_through_a_trajectory():
    """To where it began, and to what the density depends on."""

    def end(z, scale):
        target = Density(lambda z: -0.5 * (z * scale).square().sum(-1))
        return leapfrog(target, target.at(z), z + 1, steps(0.3, 3), 2)[0].z

    given = numbers(3, 2).requires_grad_(), torch.tensor(1.5, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(end, given)


def test_a_chain_that_leaves_what_is_finite_stays():
    bounded = Density(lambda z: torch.where(z > 1, torch.nan, z).log().sum(-1))
    start = bounded.at(torch.full((3, 1), 0.9))
    state, moved = transition(bounded, start, torch.full((3,), 100.0), 2, Stream.seeded(0))
    assert torch.equal(state.z, start.z)
    assert torch.equal(moved, torch.zeros(3))


@pytest.mark.statistical(
    "shares of accepted transitions with the aim, and step sizes with the width of the target",
    "of 40 groups of chains that are adapted apart",
    comparisons=2,
)
def test_steps_are_adapted_to_each_datum(chance):
    """One of a target ten times as wide becomes ten times as long, and both are accepted as aimed at: once
    they no longer grow, on average exactly. They do by at most 7% a transition, which takes 50 of them.
    """
    widths, noise = torch.tensor([[0.3], [3.0]], dtype=F64), Stream.seeded(chance.seed, dtype=F64)
    target = Density(lambda z: -0.5 * (z / widths).square().sum(-1))
    state, log_step, shares = target.at(widths * noise.normal((50, 40, 2, 10))), steps(FIRST, 40, 2).log(), []
    for _ in range(120):
        state, accepted = transition(target, state, log_step.exp().unsqueeze(0), COUNT, noise)
        log_step = adapted(log_step, accepted.mean(0))
        shares.append(accepted.mean(0))
    chance.agrees(torch.stack(shares[-20:]).mean(0), AIM)
    chance.agrees(log_step[:, 1] - log_step[:, 0], math.log(10))
