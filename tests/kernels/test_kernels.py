"""Hamiltonian transitions and planar maps: what each must leave as it is."""

import pytest
import torch

from lvmbench import DiagonalNormal, Flow, Stream
from lvmbench.kernels.hmc import Density, leapfrog, transition
from lvmbench.kernels.planar import PlanarMap

F64 = torch.float64
SPREAD = torch.tensor([0.5, 2.0], dtype=F64)
NORMAL = Density(lambda z: -0.5 * (z / SPREAD).square().sum(-1))


def draws(chains):
    return SPREAD * Stream.seeded(0, dtype=F64).normal((chains, 2))


def test_a_trajectory_turned_round_ends_where_it_began():
    z, velocity = draws(6), draws(6)
    end, there = leapfrog(NORMAL, NORMAL.at(z), velocity, torch.full((6,), 0.4, dtype=F64), 7)
    back, again = leapfrog(NORMAL, end, -there, torch.full((6,), 0.4, dtype=F64), 7)
    torch.testing.assert_close(back.z, z)
    torch.testing.assert_close(-again, velocity)


class Attached:
    """The same normal, with states that gradients pass through."""

    def at(self, z):
        return (z,)

    def log_density(self, state):
        return NORMAL.function(state[0])

    def slope(self, state):
        return -state[0] / SPREAD**2


def test_a_trajectory_keeps_volume():
    def end(both):
        z, velocity = both.unsqueeze(0).split(2, -1)
        (z,), velocity = leapfrog(Attached(), (z,), velocity, torch.full((1,), 0.4, dtype=F64), 5)
        return torch.cat([z, velocity], -1)[0]

    jacobian = torch.autograd.functional.jacobian(end, draws(2).flatten())
    torch.testing.assert_close(jacobian.det(), torch.ones((), dtype=F64))


@pytest.mark.statistical("the second moments of 40,000 chains with those of the target", "of the chains")
def test_a_transition_leaves_its_target_as_it_is(chance):
    """With steps near the edge of what is stable, so that a good share is rejected."""
    step = torch.full((40_000,), 0.9, dtype=F64)
    noise = Stream.seeded(chance.seed, dtype=F64)
    state = NORMAL.at(SPREAD * noise.normal((40_000, 2)))
    for _ in range(3):
        state, acceptance = transition(NORMAL, state, step, 3, noise)
    assert 0.3 < acceptance.mean() < 0.97
    chance.agrees((state.z / SPREAD).square().mean(-1), 1.0)


def test_a_chain_that_leaves_what_is_finite_stays():
    bounded = Density(lambda z: torch.where(z > 1, torch.nan, z).log().sum(-1))
    start = bounded.at(torch.full((3, 1), 0.9))
    state, moved = transition(bounded, start, torch.full((3,), 100.0), 2, Stream.seeded(0))
    assert torch.equal(state.z, start.z)
    assert torch.equal(moved, torch.zeros(3))


def test_the_slope_through_a_planar_map_is_that_of_a_flow():
    """Which solves for it with the Jacobian as differentiation finds it."""
    noise = Stream.seeded(0, dtype=F64)
    planar = PlanarMap(3 * noise.normal((5, 4)), noise.normal((5, 4)), noise.normal((5, 1)))
    base = DiagonalNormal(torch.zeros(5, 4, dtype=F64), torch.zeros(4, dtype=F64))
    z, log_q, slope = Flow(base, [planar], (4,)).sample_with_slope(Stream.seeded(1, dtype=F64), 3)
    began, before, first = base.sample_with_slope(Stream.seeded(1, dtype=F64), 3)
    image, log_det, pushed = planar.with_slope(began, first)
    torch.testing.assert_close((image, before - log_det, pushed), (z, log_q, slope))
