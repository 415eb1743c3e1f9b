"""Steps, each drawn given those before: distributions over the latents of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.distributions.diagonal_normal import DiagonalNormal
from lvmbench.noise import Noise

Step = int | slice
"""Which step: its number, or ``slice(None)`` for all at once."""
Law = Callable[[Step, Tensor], Distribution]
"""From a step and its context ``(..., *batch, H)``, or all and theirs ``(..., *batch, T, H)``, to the
distribution of z there, of batch shape ``(..., *batch)`` or ``(..., *batch, T)``.
"""


@dataclass(frozen=True)
class Memory:
    """What there is of the steps before each: the contexts of a sequence, and how they follow from z.

    Arguments:
        start: The context before the first step, ``(H,)``.
        advance: From t, its context ``(..., *batch, H)`` and z_t ``(..., *batch, Z)`` to the next context.
        contexts: From z ``(..., *batch, T, Z)`` to the contexts of all steps, ``(..., *batch, T, H)``.
        lasting: Which steps there are before the end of each sequence, ``(*batch, T)``.
    """

    start: Tensor
    advance: Callable[[int, Tensor, Tensor], Tensor]
    contexts: Callable[[Tensor], Tensor]
    lasting: Tensor


class Steps(Distribution):
    r"""Steps of which each is drawn given what there is of the steps before, its context.

    .. math:: \log p(z) = \sum_t \log p(z_t | h_t), \qquad h_{t+1} = f(h_t, z_t)

    over the steps of each sequence; after its end z has finite values, which count nothing. The prior of a
    sequence and its posteriors are such, with one and the same memory. The steps have the traits ``pathwise``
    and ``density``.

    References:
        A Recurrent Latent Variable Model for Sequential Data (Chung, Kastner, Dinh, Goel, Courville, Bengio,
        2015), https://arxiv.org/abs/1506.02216

    Arguments:
        memory: The contexts, and how they follow from z.
        law: The distribution of each step given its context.
        along: Where it depends on what is observed as it goes along, or on how long that is: the same along x
            ``(B, T, *frame)``.

    Example:
        >>> walk = Memory(
        ...     torch.zeros(2),
        ...     lambda t, h, z: z,
        ...     lambda z: torch.cat([torch.zeros_like(z[..., :1, :]), z[..., :-1, :]], -2),
        ...     torch.tensor([[True, True, True], [True, False, False]]),
        ... )
        >>> p = Steps(walk, lambda t, h: DiagonalNormal(h, torch.zeros(2)))
        >>> p.log_prob(torch.ones(5, 2, 3, 2))[0]
        tensor([-6.5136, -2.8379])
    """

    traits = frozenset({"pathwise", "density", "steps"})

    def __init__(self, memory: Memory, law: Law, along: Callable[[Tensor], Steps] | None = None) -> None:
        self.memory, self.at, self._along = memory, law, along

    def along(self, x: Tensor) -> Distribution:
        return self if self._along is None else self._along(x)

    def given(self, value: Tensor) -> Distribution:
        """The distribution of each step given those before it in these values ``(..., *batch, T, Z)``,
        batch shape ``(..., *batch, T)``.
        """
        return self.at(slice(None), self.memory.contexts(value))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.total(self.given(value).log_prob(value))

    def total(self, figures: Tensor) -> Tensor:
        """The sum of figures of steps, ``(..., *batch, T)``, up to the end of each sequence."""
        return torch.where(self.memory.lasting, figures, 0.0).sum(-1)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        *batch, count = self.memory.lasting.shape
        h, drawn = self.memory.start.expand(samples, *batch, -1), []
        for t in range(count):
            z, log_p = (part[0] for part in self.at(t, h).sample_and_log_prob(noise, 1))
            h = self.memory.advance(t, h, z) if t + 1 < count else h
            drawn.append((z, log_p))
        steps, figures = zip(*drawn, strict=True)
        return torch.stack(steps, -2), self.total(torch.stack(figures, -1))


class LinearSteps(Steps):
    """Steps of normals whose means are linear in the step before, which is all of their context that counts:
    together they are normal, and their mean is known.
    """

    traits = Steps.traits | {"mean"}

    @property
    def mean(self) -> Tensor:
        *batch, count = self.memory.lasting.shape
        h, means = self.memory.start.expand(*batch, -1), []
        for t in range(count):
            z = self.at(t, h).mean
            h = self.memory.advance(t, h, z)
            means.append(z)
        return torch.stack(means, -2)


class LinearMove(NamedTuple):
    r"""From the context of a Markov chain, :math:`z_{t-1}` and 1 where there is none, to a normal.

    .. math:: z_1 \sim N(m, \operatorname{diag} s^2), \qquad
        z_t \sim N(A z_{t-1} + b, \operatorname{diag} \sigma^2)

    Arguments:
        first: The normal of the first step, over vectors of Z values.
        weight: :math:`A`, ``(Z, Z)``.
        bias: :math:`b`, ``(Z,)``.
        log_scale: :math:`\log\sigma`, ``(Z,)``.
    """

    first: DiagonalNormal
    weight: Tensor
    bias: Tensor
    log_scale: Tensor

    def __call__(self, h: Tensor) -> DiagonalNormal:
        z, begins = h[..., :-1], h[..., -1:] > 0
        loc = torch.where(begins, self.first.loc, z @ self.weight.mT + self.bias)
        return DiagonalNormal(loc, torch.where(begins, self.first.log_scale, self.log_scale))


class LinearDynamics(LinearSteps):
    """A Markov chain of normals with the same linear move at each step.

    Arguments:
        memory: The contexts, and how they follow from z.
        move: The move.
        along: As of `Steps`.
    """

    def __init__(
        self, memory: Memory, move: LinearMove, along: Callable[[Tensor], Steps] | None = None
    ) -> None:
        super().__init__(memory, lambda t, h: move(h), along)
        self.move = move
