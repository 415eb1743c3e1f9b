"""Hamiltonian Monte Carlo, vectorised over chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from lvmbench.noise import Noise

S = TypeVar("S", bound=tuple[Tensor, ...])


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

    Example:
        >>> normal = Density(lambda z: -0.5 * z.square().sum(-1))
        >>> normal.at(torch.tensor([[1.0, 2.0]])).slope
        tensor([[-1., -2.]])
    """

    def __init__(self, log_density: Callable[[Tensor], Tensor]) -> None:
        self.function = log_density

    @torch.enable_grad()
    def at(self, z: Tensor) -> Place:
        """The state at z."""
        z = z.detach().requires_grad_()
        log_density = self.function(z)
        # chains do not touch each other: the gradient of the sum has that of each
        (slope,) = torch.autograd.grad(log_density.sum(), z)
        return Place(z.detach(), log_density.detach(), slope)

    def log_density(self, state: Place) -> Tensor:
        """The log density, ``(*chains)``."""
        return state.log_density

    def slope(self, state: Place) -> Tensor:
        """Its gradient in z, ``(*chains, *z)``."""
        return state.slope


def leapfrog(target: Target[S], state: S, velocity: Tensor, step: Tensor, count: int) -> tuple[S, Tensor]:
    """Where a trajectory of ``count`` leapfrog steps of the size ``step``, ``(*chains)``, ends,
    and its velocity there.

    It keeps volume and, run with the velocity turned round, ends where it began: a proposal needs no
    Jacobian.
    """
    size = _pad(step, state[0])
    for _ in range(count):
        velocity = velocity + 0.5 * size * target.slope(state)
        state = target.at(state[0] + size * velocity)
        velocity = velocity + 0.5 * size * target.slope(state)
    return state, velocity


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
        step: The step size of each chain, ``(*chains)``.
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
    chains = step.dim()
    gain = (
        target.log_density(proposal)
        - _kinetic(end, chains)
        - target.log_density(state)
        + _kinetic(velocity, chains)
    )
    # a trajectory that diverges to NaN is rejected
    chance = torch.where(gain.isnan(), -torch.inf, gain).clamp(max=0).exp()
    return _choose(noise.uniform(chance.shape) < chance, proposal, state), chance


def _pad(values: Tensor, like: Tensor) -> Tensor:
    """Values of each chain with as many dimensions as another tensor."""
    return values.reshape(values.shape + (1,) * (like.dim() - values.dim()))


def _kinetic(velocity: Tensor, chains: int) -> Tensor:
    return 0.5 * velocity.square().flatten(chains).sum(-1)


def _choose(accepted: Tensor, one: S, other: S) -> S:
    """The one state for the chains that accepted it, the other for the rest."""
    made: Any = type(one)
    chosen: S = made(*(torch.where(_pad(accepted, a), a, b) for a, b in zip(one, other, strict=True)))
    return chosen
