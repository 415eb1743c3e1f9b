"""Priors p(z)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lvmbench.component import Component
from lvmbench.distributions import Distribution
from lvmbench.errors import Refusal

if TYPE_CHECKING:
    from lvmbench.model import LatentVariableModel


ENUMERABLE = 4096
"""The largest number of latent values that are summed over."""


@dataclass(frozen=True)
class LatentSpace:
    """Where z lives: the event shape ``*z`` and the support, ``real``, ``binary``,
    or ``one_hot`` in the last dimension.

    >>> LatentSpace((3,), "binary").size, LatentSpace((2, 5), "one_hot").size, LatentSpace((2,)).size
    (8, 25, None)
    """

    event_shape: tuple[int, ...]
    support: str = "real"

    @property
    def size(self) -> int | None:
        """The number of its values, or ``None`` where they are not finitely many."""
        if self.support == "real":
            return None
        choices, groups = self._digits
        return int(choices**groups)

    def vector(self, name: str) -> int:
        """The number of latents, for a component that is over vectors.

        Raises `Refusal`, with its name, for other shapes.
        """
        if len(self.event_shape) != 1:
            raise Refusal(f"{name} is over a vector of latents; the prior's are of shape {self.event_shape}")
        return self.event_shape[0]

    @property
    def enumerable(self) -> bool:
        """Whether its values are few enough to sum over."""
        return self.size is not None and self.size <= ENUMERABLE

    def values(self, like: Tensor) -> Tensor:
        """Every value, ``(N, *z)``, in the type and on the device of another tensor.

        >>> LatentSpace((2,), "binary").values(torch.zeros(()))
        tensor([[0., 0.],
                [1., 0.],
                [0., 1.],
                [1., 1.]])
        """
        if self.size is None:
            raise ValueError(f"a latent space of support '{self.support}' has no finite list of values")
        choices, groups = self._digits
        power = choices ** torch.arange(groups, device=like.device)
        digits = torch.arange(self.size, device=like.device).unsqueeze(1) // power % choices  # (N, groups)
        if self.support == "one_hot":  # torch's own one_hot waits for the device
            digits = digits.unsqueeze(-1) == torch.arange(choices, device=like.device)
        return digits.to(like.dtype).reshape(-1, *self.event_shape)

    @property
    def _digits(self) -> tuple[int, int]:
        """How many choices each independent unit has, and how many units there are."""
        grouped = self.support == "one_hot"
        units = self.event_shape[:-1] if grouped else self.event_shape
        return self.event_shape[-1] if grouped else 2, math.prod(units)


class Prior(nn.Module, Component, ABC):
    """A module whose call returns p(z).

    ``__init__(self, data, latent, *, options)`` takes the `DataSummary` and the suite's latent size.
    ``distribution`` is the class its call returns; what that class can do counts among what the prior
    provides.
    """

    distribution: type[Distribution]

    @property
    @abstractmethod
    def space(self) -> LatentSpace:
        """The latent space that this prior defines; posterior and decoder are built for it."""

    @abstractmethod
    def forward(self, model: LatentVariableModel) -> Distribution:
        """p(z), of empty batch shape; most ignore ``model``."""
