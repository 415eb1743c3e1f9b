"""Data sets drawn from a known distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lvmbench import Data, Distribution, Noise, Split, Stream

Missing = Annotated[float, Field(ge=0, lt=1)]
"""A share of the values that is less than all."""
Draw = Callable[[Noise, int], tuple[Tensor, Tensor | None]]


def generated(
    draw: Draw, truth: Distribution, sizes: Mapping[str, int], *, seed: int, name: str, missing: float = 0.0
) -> Data:
    """Data whose splits are independent draws, each from its own stream, and whose density is ``truth``'s.

    Values are drawn, and the density is computed, in double precision. With ``missing`` that share of the
    values is taken away completely at random, but the last one of a datum; the others are as they are
    without, and the density is theirs.
    """

    def split(part: str, size: int) -> Split:
        x, labels = draw(Stream.seeded(seed, name, part, dtype=torch.float64), size)
        whole = x.to(torch.float32)
        if not missing:
            return Split(whole, labels)
        gaps = _gaps(whole, missing, Stream.seeded(seed, name, part, "missing", dtype=torch.float64))
        return Split(whole.masked_fill(gaps, torch.nan), labels, missing=torch.nan, whole=whole)

    def log_prob(x: Tensor) -> Tensor:
        density = truth.observed_log_prob if missing else truth.log_prob
        return density(x.cpu().double()).to(x.device, x.dtype)

    splits = {part: split(part, size) for part, size in sizes.items()}
    return Data(splits, "real", "generated: free of any terms", log_prob=log_prob)


def _gaps(x: Tensor, share: float, noise: Noise) -> Tensor:
    """Which values of ``(N, D)`` are taken away:
    each with this chance, but for one of a datum that would have none left.
    """
    u = noise.uniform(x.shape)
    return (u < share) & (u < u.amax(1, keepdim=True))
