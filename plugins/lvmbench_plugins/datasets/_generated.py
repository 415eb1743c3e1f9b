"""Data sets drawn from a known distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lvmbench import Data, Distribution, Noise, Split, Stream

Draw = Callable[[Noise, int], tuple[Tensor, Tensor | None]]


def generated(draw: Draw, truth: Distribution, sizes: Mapping[str, int], *, seed: int, name: str) -> Data:
    """Data whose splits are independent draws, each from its own stream, and whose density is ``truth``'s.

    Values are drawn, and the density is computed, in double precision.
    """

    def split(part: str, size: int) -> Split:
        x, labels = draw(Stream.seeded(seed, name, part, dtype=torch.float64), size)
        return Split(x.to(torch.float32), labels)

    def log_prob(x: Tensor) -> Tensor:
        return truth.log_prob(x.cpu().double()).to(x.device, x.dtype)

    splits = {part: split(part, size) for part, size in sizes.items()}
    return Data(splits, "real", "generated: free of any terms", log_prob=log_prob)
