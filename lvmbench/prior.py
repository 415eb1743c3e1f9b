"""Priors p(z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvmbench.component import Component
from lvmbench.dataset import DataSummary  # where options are read, for those that inherit __init__
from lvmbench.distributions import Distribution, Memory, Steps
from lvmbench.errors import Refusal
from lvmbench.latents import LatentSpace
from lvmbench.observation import ended

if TYPE_CHECKING:
    from lvmbench.model import LatentVariableModel


class Prior(nn.Module, Component, ABC):
    """A module whose call returns p(z).

    ``__init__(self, data, latent, *, options)`` takes the `DataSummary` and the suite's latent size.
    ``distribution`` is the class its call returns; what that class can do counts among what the prior
    provides. A `Mixture` that leaves open of what it is, is one of what the posterior returns.
    """

    distribution: type[Distribution]

    @classmethod
    def latent_size(cls, latent: int, options: Mapping[str, Any], data: Callable[[], DataSummary]) -> int:
        """How many latents z has, by the suite's latent size, all of its options, and the data,
        which are loaded where they are asked for: what tables say.

        That size, but for a prior that has options of its own for it, or whose latents are as many as data
        have values.
        """
        return latent

    @property
    @abstractmethod
    def space(self) -> LatentSpace:
        """The latent space that this prior defines; posterior and decoder are built for it."""

    @abstractmethod
    def forward(self, model: LatentVariableModel) -> Distribution:
        """p(z), of empty batch shape; most ignore ``model``."""


class SequencePrior(Prior):
    r"""A prior of steps: each is drawn given what there is of the steps before, its context.

    .. math:: p(z_t | h_t), \qquad h_{t+1} = f(h_t, z_t, x_t)

    The context :math:`h_t` is one vector of ``space.context`` values, so that whoever draws again among
    samples, between steps, chooses among these alone. Where it depends on x, so does p(z): `along` has it for
    given sequences. Posteriors draw each step given the same context.

    ``__init__(self, data, latent, *, context, shown)`` takes the size of the context, and how many of its
    first values the decoder reads beside :math:`z_t`; it raises `Refusal` for data that are no sequences.
    """

    distribution: type[Distribution] = Steps
    requires = frozenset({"dataset.sequence", "posterior.steps"})

    def __init__(self, data: DataSummary, latent: int, *, context: int, shown: int = 0) -> None:
        super().__init__()
        if not data.steps:
            raise Refusal(
                f"a prior of steps is for sequences; the data, of shape {data.event_shape}, are none"
            )
        self._space = LatentSpace((data.steps, latent), steps=data.steps, context=context, shown=shown)

    @property
    def space(self) -> LatentSpace:
        return self._space

    @abstractmethod
    def start(self) -> Tensor:
        """The context before the first step, ``(H,)``."""

    @abstractmethod
    def law(self, h: Tensor) -> Distribution:
        """p(z_t | h_t) over vectors of Z values, of batch shape ``(...)``, for contexts ``(..., H)``."""

    @abstractmethod
    def advance(self, h: Tensor, z: Tensor, x: Tensor | None) -> Tensor:
        """The next context, ``(..., H)``, after z_t ``(..., Z)`` and x_t ``(..., *frame)``.

        x is finite but for holes; it is ``None`` where p(z) is asked for without any.
        """

    def contexts(self, z: Tensor, x: Tensor | None) -> Tensor:
        """The context of every step, ``(..., T, H)``, of z ``(..., T, Z)`` and x ``(B, T, *frame)``."""
        h = self.start().expand(*z.shape[:-2], -1)
        found = [h]
        for t, step in enumerate(z.unbind(-2)[:-1]):
            h = self.advance(h, step, None if x is None else x[:, t])
            found.append(h)
        return torch.stack(found, -2)

    def of(self, memory: Memory) -> Steps:
        """p(z) with the contexts of given sequences."""
        return Steps(memory, lambda t, h: self.law(h), self.along)

    def along(self, x: Tensor) -> Steps:
        """p(z) along x ``(B, T, *frame)``, of batch shape ``(B,)``."""
        return self.of(self.memory(x))

    def memory(self, x: Tensor | None = None) -> Memory:
        """The contexts along x ``(B, T, *frame)``, or of the longest sequence, and how they follow from z."""
        start = self.start()
        if x is None:
            whole = torch.ones(self.space.steps, dtype=torch.bool, device=start.device)
            return Memory(
                start, lambda t, h, z: self.advance(h, z, None), lambda z: self.contexts(z, None), whole
            )
        values, lasting = ended(x)
        frames = values.unbind(1)
        return Memory(
            start, lambda t, h, z: self.advance(h, z, frames[t]), lambda z: self.contexts(z, values), lasting
        )

    def forward(self, model: LatentVariableModel) -> Steps:
        return self.of(self.memory())


class MarkovPrior(SequencePrior):
    r"""A prior of steps that are each drawn given the step before alone.

    .. math:: p(z) = p(z_1) \prod_{t > 1} p(z_t | z_{t-1})

    The context is :math:`z_{t-1}`, and a last value of 1 where there is none, at the first step, so that
    `law` chooses with ``torch.where``. The decoder reads :math:`z_t` alone.
    """

    none: Tensor

    def __init__(self, data: DataSummary, latent: int) -> None:
        super().__init__(data, latent, context=latent + 1)
        self.register_buffer("none", torch.eye(latent + 1)[-1], persistent=False)

    def start(self) -> Tensor:
        return self.none

    def advance(self, h: Tensor, z: Tensor, x: Tensor | None) -> Tensor:
        return torch.cat([z, torch.zeros_like(z[..., :1])], -1)

    def contexts(self, z: Tensor, x: Tensor | None) -> Tensor:
        first = self.start().expand(*z.shape[:-2], 1, -1)
        return torch.cat([first, self.advance(first, z[..., :-1, :], x)], -2)
