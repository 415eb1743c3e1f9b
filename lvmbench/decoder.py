"""Decoders p(x|z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

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


class Canvas(NamedTuple):
    """What a decoder has painted so far: ``image``, ``(..., *x)``, and the state that it paints from,
    ``hidden`` and ``memory``, ``(..., H)``.
    """

    image: Tensor
    hidden: Tensor
    memory: Tensor


class CanvasDecoder(Decoder):
    """A decoder that reads z in steps, and paints on a canvas at each.

    So a posterior can see what there is already when it draws the latents of the next step. It provides
    ``canvas``, and `canvas_word` with the number of its steps and the size of its state.
    """

    @abstractmethod
    def blank(self) -> Canvas:
        """The canvas before the first step, of batch shape ``()``."""

    @abstractmethod
    def paint(self, canvas: Canvas, z: Tensor) -> Canvas:
        """The canvas after one more step, which reads ``(..., S)``."""


def canvas_word(steps: int, hidden: int) -> str:
    """The word for a canvas that is painted in so many steps from a state of this size.

    >>> canvas_word(10, 128)
    'canvas[steps=10,hidden=128]'
    """
    return f"canvas[steps={steps},hidden={hidden}]"
