"""Priors p(z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from lvmbench.component import Component
from lvmbench.distributions import Distribution
from lvmbench.latents import LatentSpace

if TYPE_CHECKING:
    from lvmbench.dataset import DataSummary
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
