"""Decoders p(x|z)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lvmbench.component import Component
from lvmbench.distributions import Distribution


class Decoder(nn.Module, Component, ABC):
    """A module whose call returns p(x|z); it speaks logits and log scales, never saturated probabilities.

    ``__init__(self, data, space, *, options)`` takes the `DataSummary` and the `LatentSpace` of what it reads
    of the prior's z. ``distribution`` is the class its call returns.
    """

    distribution: type[Distribution]

    @abstractmethod
    def forward(self, z: Tensor) -> Distribution:
        """p(x|z) of batch shape ``(K, B)`` for what it reads of z, ``(K, B, *z)``.

        `LatentVariableModel.decode` calls it.
        """
