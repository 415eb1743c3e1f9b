"""Priors p(z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from lvmbench.component import Component
from lvmbench.distributions import Distribution

if TYPE_CHECKING:
    from lvmbench.model import LatentVariableModel


@dataclass(frozen=True)
class LatentSpace:
    """Where z lives: the event shape ``*z`` and the support, ``real`` or ``binary``."""

    event_shape: tuple[int, ...]
    support: str = "real"


class Prior(nn.Module, Component, ABC):
    """A module whose call returns p(z).

    ``__init__(self, data, latent, *, options)`` takes the `DataSummary` and the suite's latent size.
    ``distribution`` is the class its call returns; what that class can do counts among what the prior provides.
    """

    distribution: type[Distribution]

    @property
    @abstractmethod
    def space(self) -> LatentSpace:
        """The latent space that this prior defines; posterior and decoder are built for it."""

    @abstractmethod
    def forward(self, model: LatentVariableModel) -> Distribution:
        """p(z), of empty batch shape; most ignore ``model``."""
