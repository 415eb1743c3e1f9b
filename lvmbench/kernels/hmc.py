"""Hamiltonian Monte Carlo, vectorised over chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor
from torch.func import grad

from lvmbench.noise import Noise

S = TypeVar("S", bound=tuple[Tensor, ...])

FIRST = 0.1
"""Where step sizes start that are adapted."""
AIM = 0.65
"""The share of accepted transitions that is best in many dimensions (Neal, 2011)."""


class Target(Protocol[S]):
    """An unnormalised density, by what is known of it where chains are.

    A state is a named tuple of tensors: first the places z, ``(*chains, *z)``, then whatever else is worth
    keeping, ``(*chains)`` or ``(*chains, *z)``. It is found once for each place, so that a rejected step
    costs nothing more.
    """

    def at(self, z: Tensor) -> S:
        """The state at z."""

    def log_density(self, state: S) -> Tensor:
        """The log density, ``(*chains)``."""

    def slope(self, state: S) -> Tensor:
        """Its gradient in z, ``(*chains, *z)``."""


class Place(NamedTuple):
    """Where chains are, ``(*chains, *z)``, the log density there, ``(*chains)``, and its gradient."""

    z: Tensor
    log_density: Tensor
    slope: Tensor


class Density:
    """A target that is known by its log density alone: gradients are found by differentiation.

    States carry gradients to z and to whatever the log density depends on; under ``torch.no_grad`` they carry
    none. It may be within ``torch.vmap``.

    Arguments:
        log_density: From z, ``(*chains, *z)``, to the log density, ``(*chains)``, of each chain alone.

    Example:
        >>> normal = Density(lambda z: -0.5 * z.square().sum(-1))
        >>> normal.at(torch.tensor([[1.0, 2.0]])).slope
        tensor([[-1., -2.]])
    """

    def __init__(self, log_density: Callable[[Tensor], Tensor]) -> None:
        self.function = log_density

    def at(self, z: Tensor) -> Place:
        """The state at z."""
        # chains do not touch each other: the gradient of the sum has that of each
        slope, log_density = grad(self._total, has_aux=True)(z)
        return Place(z, log_density, slope)

    def _total(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_density = self.function(z)
        return log_density.sum(), log_density

    def log_density(self, state: Place) -> Tensor:
        """The log density, ``(*chains)``."""
        return state.log_density

    def slope(self, state: Place) -> Tensor:
        """Its gradient in z, ``(*chains, *z)``."""
        return state.slope


def leapfrog(target: Target[S], state: S, velocity: Tensor, step: Tensor, count: int) -> tuple[S, Tensor]:
    r"""Where a trajectory of ``count`` leapfrog steps ends, and its velocity there.

    .. math:: v \leftarrow v + \tfrac\epsilon2 \nabla \log \pi(z), \qquad z \leftarrow z + \epsilon v, \qquad
        v \leftarrow v + \tfrac\epsilon2 \nabla \log \pi(z)

    It keeps volume and, run with the velocity turned round, ends where it began: a proposal needs no
    Jacobian. Gradients pass through it as far as the target's states carry them.

    Arguments:
        target: The density :math:`\pi`.
        state: Where the chains are.
        velocity: Their velocities v, ``(*chains, *z)``.
        step: The step size :math:`\epsilon` of each chain, ``(*chains)``; or of each coordinate, too,
            ``(*chains, *z)``, which is to coordinates of one step size what masses would be. Dimensions of
            size 1 are shared.
        count: The number of leapfrog steps.
    """
    size, slope = _pad(step, state[0]), target.slope(state)
    half = 0.5 * size
    for _ in range(count):
        velocity = velocity + half * slope
        state = target.at(state[0] + size * velocity)
        slope = target.slope(state)
        velocity = velocity + half * slope
    return state, velocity


@torch.no_grad()
def transition(target: Target[S], state: S, step: Tensor, count: int, noise: Noise) -> tuple[S, Tensor]:
    r"""A Hamiltonian transition of each chain, which leaves the target as it is,
    and its chance of acceptance, ``(*chains)``.

    .. math:: \min\left(1,\; \frac{\pi(z')\, \mathrm{N}(v'; 0, I)}{\pi(z)\, \mathrm{N}(v; 0, I)}\right),
        \qquad v \sim \mathrm{N}(0, I), \quad (z', v') = \mathrm{leapfrog}(z, v)

    References:
        MCMC Using Hamiltonian Dynamics (Neal, 2011), https://arxiv.org/abs/1206.1901

    Arguments:
        target: The density :math:`\pi`.
        state: Where the chains are.
        step: The step size of each chain, or of each coordinate, as `leapfrog` takes it.
        count: The number of leapfrog steps.
        noise: Where the random numbers come from: a normal vector and a uniform number for each chain.

    Example:
        >>> from lvmbench import Stream
        >>> normal = Density(lambda z: -0.5 * z.square().sum(-1))
        >>> step = torch.full((5, 7), 0.1)
        >>> state, chance = transition(normal, normal.at(torch.zeros(5, 7, 3)), step, 4, Stream.seeded(0))
        >>> state.z.shape, bool((chance > 0.9).all())
        (torch.Size([5, 7, 3]), True)
    """
    # the velocity need not be turned round at the end: its energy is the same, and the next one is drawn anew
    velocity = noise.normal(state[0].shape)
    proposal, end = leapfrog(target, state, velocity, step, count)
    before, after = target.log_density(state), target.log_density(proposal)
    gain = after - kinetic(end, before.dim()) - before + kinetic(velocity, before.dim())
    return metropolis(gain, proposal, state, noise)


def kinetic(velocity: Tensor, chains: int) -> Tensor:
    """The energy of velocities ``(*chains, *z)``, ``(*chains)``, where ``chains`` is how many dimensions
    these are: minus their log density under the standard normal, but for a constant.
    """
    return 0.5 * velocity.square().flatten(chains).sum(-1)


def metropolis(gain: Tensor, proposal: S, state: S, noise: Noise) -> tuple[S, Tensor]:
    """The proposal for the chains that accept it, the state for the rest,
    and the chance of acceptance, ``(*chains)``.

    Arguments:
        gain: The log of the ratio that is accepted, ``(*chains)``. Where it is NaN, as where a trajectory has
            diverged, the proposal is rejected.
        proposal: Where chains might go.
        state: Where they are.
        noise: Where the random numbers come from: a uniform one for each chain.
    """
    chance = torch.where(gain.isnan(), -torch.inf, gain).clamp(max=0).exp()
    accepted, made = noise.uniform(chance.shape) < chance, cast("Any", type(state))
    pairs = zip(proposal, state, strict=True)
    return made(*(torch.where(_pad(accepted, new), new, old) for new, old in pairs)), chance


def adapted(log_step: Tensor, chance: Tensor, rate: float = 0.2) -> Tensor:
    """Logs of step sizes after a transition of this chance of acceptance:
    longer where it was above `AIM`, shorter where it was below.

    Chains whose steps still change do not leave their target as it is: steps are found beforehand, and then
    kept. Chains that share a step size, as those of a datum may, follow their mean chance.
    """
    # by the chance and not by whether it was taken: that has less noise
    return log_step + rate * (chance - AIM)


def _pad(values: Tensor, like: Tensor) -> Tensor:
    """Values of each chain with as many dimensions as another tensor."""
    return values.reshape(values.shape + (1,) * (like.dim() - values.dim()))
