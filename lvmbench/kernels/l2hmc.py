"""Hamiltonian Monte Carlo whose leapfrog steps are learned, vectorised over chains."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from zuko.nn import MLP

from lvmbench.kernels.hmc import Target, kinetic, metropolis
from lvmbench.noise import Noise

S = TypeVar("S", bound=tuple[Tensor, ...])

NEAR = 0.01
"""The scale, at the start, of the last layer of the networks: every kernel starts as near as this to HMC."""
FLOOR = 1e-3
"""What is added to a jump, which may be 0 and is divided by, in units of what counts as a good one."""


class LearnedLeapfrog(nn.Module):
    r"""Leapfrog steps that networks S, Q and T scale and shift, and that can be taken back.

    .. math:: v \leftarrow v \odot e^{\frac\epsilon2 S_v} + \tfrac\epsilon2
        \left(\nabla \log \pi(z) \odot e^{\epsilon Q_v} + T_v\right), \qquad
        z_m \leftarrow \left[z \odot e^{\epsilon S_z}
        + \epsilon \left(v \odot e^{\epsilon Q_z} + T_z\right)\right]_m

    The networks of v read z, the slope there and the time; those of z read v, the time, and the coordinates
    that stay: one half of z moves, m, then the other, and v by half a step before and after. So the same
    networks can take each change back, and the log of the Jacobian is the sum of what S gives. Where they
    give 0 this is the ordinary leapfrog.

    References:
        Generalizing Hamiltonian Monte Carlo with Neural Networks (Levy, Hoffman, Sohl-Dickstein, 2018),
        https://arxiv.org/abs/1711.09268

    Arguments:
        event_shape: The shape of z.
        count: The number of leapfrog steps.
        hidden: The width of the two hidden layers of the networks.
        step: The step size :math:`\epsilon` at the start; it is learned, too.

    Example:
        >>> from lvmbench.kernels.hmc import Density
        >>> normal = Density(lambda z: -0.5 * z.square().sum(-1))
        >>> kernel, z = LearnedLeapfrog((3,), 4), torch.ones(5, 7, 3)
        >>> state, velocity, log_det = kernel(normal, normal.at(z), 0 * z, torch.ones(5, 7) > 0)
        >>> state.z.shape, velocity.shape, log_det.shape
        (torch.Size([5, 7, 3]), torch.Size([5, 7, 3]), torch.Size([5, 7]))
    """

    halves: Tensor
    times: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], count: int, *, hidden: int = 32, step: float = 0.1
    ) -> None:
        super().__init__()
        self.count, size = count, math.prod(event_shape)
        self.of_velocity, self.of_place = (_Networks(event_shape, hidden) for _ in range(2))
        self.log_step = nn.Parameter(torch.tensor(step).log())
        # which half moves first is drawn for each step
        halves = torch.rand(count, size).argsort(1) < size / 2
        self.register_buffer("halves", halves.unflatten(1, event_shape))
        angles = 2 * math.pi * torch.arange(count) / count
        self.register_buffer("times", torch.stack([angles.cos(), angles.sin()], 1))

    def forward(
        self, target: Target[S], state: S, velocity: Tensor, ahead: Tensor
    ) -> tuple[S, Tensor, Tensor]:
        """Where a trajectory of all steps ends, its velocity there, and the log of the Jacobian,
        ``(*chains)``.

        ``ahead``, ``(*chains)``, says which chains go forwards; the others take the steps back, the last
        one first.
        """
        step, total = self.log_step.exp(), velocity.new_zeros(ahead.shape)
        for index in range(self.count):
            # one step of those that go forwards, another of the rest: the networks are asked once for both
            time = _choose(ahead, self.times[index], self.times[-1 - index])
            half = _choose(ahead, self.halves[index], ~self.halves[-1 - index])
            velocity, before = self._kick(target.slope(state), state[0], velocity, time, step, ahead)
            z, first = self._drift(state[0], velocity, half, time, step, ahead)
            z, second = self._drift(z, velocity, ~half, time, step, ahead)
            state = target.at(z)
            velocity, after = self._kick(target.slope(state), state[0], velocity, time, step, ahead)
            total = total + before + first + second + after
        return state, velocity, total

    def _kick(
        self, slope: Tensor, z: Tensor, velocity: Tensor, time: Tensor, step: Tensor, ahead: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The velocity after half a step, and the log of the Jacobian."""
        s, q, t = self.of_velocity(z, slope, time)
        shift = slope * (step * q).exp() + t
        return _changed(velocity, 0.5 * step * s, 0.5 * step * shift, ahead)

    def _drift(
        self, z: Tensor, velocity: Tensor, moving: Tensor, time: Tensor, step: Tensor, ahead: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The places after a step of the coordinates that are moving, and the log of the Jacobian."""
        s, q, t = self.of_place(z.masked_fill(moving, 0), velocity, time)
        shift = velocity * (step * q).exp() + t
        return _changed(z, step * s * moving, step * shift * moving, ahead)


class _Networks(nn.Module):
    """S, Q and T, which share two hidden layers; S and Q are bounded, by bounds that are learned."""

    def __init__(self, event_shape: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.event_shape, size = event_shape, math.prod(event_shape)
        self.network = MLP(2 * size + 2, 3 * size, [hidden] * 2, activation=nn.SiLU)
        # around the hidden layers: between coordinates of unlike scales maps that are all but linear matter
        self.linear = nn.Linear(2 * size + 2, 3 * size, bias=False)
        self.log_bounds = nn.Parameter(torch.zeros(2, *event_shape))
        with torch.no_grad():
            for weight in (*self.network[-1].parameters(), self.linear.weight):
                weight.mul_(NEAR)

    def forward(self, one: Tensor, other: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From two tensors, ``(*chains, *z)``, and the time, ``(*chains, 2)``, to S, Q and T."""
        dims = len(self.event_shape)
        read = torch.cat([one.flatten(-dims), other.flatten(-dims), time], -1)
        found = self.network(read) + self.linear(read)
        s, q, t = found.unflatten(-1, (3, *self.event_shape)).unbind(-1 - dims)
        most_s, most_q = self.log_bounds.exp()
        return most_s * s.tanh(), most_q * q.tanh(), t


def learned_transition(
    kernel: LearnedLeapfrog, target: Target[S], state: S, noise: Noise
) -> tuple[S, Tensor, Tensor]:
    r"""A transition of each chain by learned leapfrog steps, which leaves the target as it is,
    its chance of acceptance, and its expected squared jump, ``(*chains)`` each.

    .. math:: A = \min\left(1,\; \frac{\pi(z')\, \mathrm{N}(v'; 0, I)}{\pi(z)\, \mathrm{N}(v; 0, I)}
        \left|\frac{\partial (z', v')}{\partial (z, v)}\right|\right), \qquad E[\delta] = A\, \|z' - z\|^2

    The direction is drawn with equal chances: the proposal that goes forwards from z is one that goes back
    from z'. Gradients of the jump reach the kernel, and whatever else the target carries them to.

    References:
        Generalizing Hamiltonian Monte Carlo with Neural Networks (Levy, Hoffman, Sohl-Dickstein, 2018),
        https://arxiv.org/abs/1711.09268

    Arguments:
        kernel: The steps.
        target: The density :math:`\pi`.
        state: Where the chains are.
        noise: Where the random numbers come from: a normal vector and two uniform numbers for each chain.

    Example:
        >>> from lvmbench import Stream
        >>> from lvmbench.kernels.hmc import Density
        >>> normal, kernel = Density(lambda z: -0.5 * z.square().sum(-1)), LearnedLeapfrog((3,), 4)
        >>> state, noise = normal.at(torch.ones(5, 7, 3)), Stream.seeded(0)
        >>> state, chance, jump = learned_transition(kernel, normal, state, noise)
        >>> state.z.shape, bool((chance > 0.9).all()), bool((jump > 0).all())
        (torch.Size([5, 7, 3]), True, True)
    """
    before = target.log_density(state)
    velocity, chains = noise.normal(state[0].shape), before.dim()
    ahead = noise.uniform(before.shape) < 0.5
    proposal, end, log_det = kernel(target, state, velocity, ahead)
    after = target.log_density(proposal)
    gain = after - kinetic(end, chains) - before + kinetic(velocity, chains) + log_det
    moved, chance = metropolis(gain, proposal, state, noise)
    squared = (proposal[0] - state[0]).square().flatten(chains).sum(-1)
    # where a trajectory has diverged the chain stays, however far it would have gone: infinitely far, too
    return moved, chance, chance * torch.where(chance > 0, squared, 0.0)


def jump_loss(jump: Tensor, scale: float = 1.0) -> Tensor:
    r"""What a kernel is trained to make small, of expected squared jumps of each chain.

    .. math:: \frac{\lambda^2}{E[\delta]} - \frac{E[\delta]}{\lambda^2}

    The second term asks for long jumps; the first one, that no chain stays where it is.

    Example:
        >>> jump_loss(torch.tensor([1.0, 4.0]), scale=2.0).round(decimals=2)
        tensor([3.7300, -0.0000])
    """
    jump = jump / scale**2 + FLOOR
    return 1 / jump - jump


def _changed(values: Tensor, scale: Tensor, shift: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
    """Values times exp(scale), shifted, and the log of the Jacobian, ``(*chains)``;
    of chains that do not go ahead, what undoes that.
    """
    forwards = ahead.reshape(ahead.shape + (1,) * (values.dim() - ahead.dim()))
    changed = torch.where(forwards, values * scale.exp() + shift, (values - shift) * (-scale).exp())
    total = scale.flatten(ahead.dim()).sum(-1)
    return changed, torch.where(ahead, total, -total)


def _choose(ahead: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """The one for chains that go ahead, the other for the rest, ``(*chains, ...)``."""
    return torch.where(ahead.reshape(ahead.shape + (1,) * one.dim()), one, other)
