"""Data sets drawn from a known distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lvmbench import Data, Distribution, Noise, Split, Stream, UserError

Share = Annotated[float, Field(ge=0, lt=1)]
"""A share that is less than all."""
LICENCE = "generated: free of any terms"
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

    density = truth.observed_log_prob if missing else truth.log_prob
    splits = {part: split(part, size) for part, size in sizes.items()}
    return Data(splits, "real", LICENCE, log_prob=_in_double(density))


def generated_sequences(
    draw: Callable[[Noise, int, int], Tensor],
    log_prob: Callable[[Tensor], Tensor],
    sizes: Mapping[str, int],
    *,
    seed: int,
    name: str,
    steps: int,
    shortest: int,
) -> Data:
    """Sequences whose splits are independent draws, each from its own stream.

    ``draw(noise, N, T)`` gives sequences of vectors, ``(N, T, D)``. Each then ends after a number of steps
    that is drawn evenly from those between ``shortest`` and ``steps``, and tells nothing of its values;
    ``log_prob`` is the density given that number, NaN being what was not observed.
    """
    if shortest > steps:
        raise UserError(f"{name}: shortest={shortest} is more than steps={steps}; it is at most as many")

    def split(part: str, size: int) -> Split:
        x = draw(Stream.seeded(seed, name, part, dtype=torch.float64), size, steps).to(torch.float32)
        if shortest == steps:
            return Split(x)
        u = Stream.seeded(seed, name, part, "length", dtype=torch.float64).uniform((size, 1))
        ended = torch.arange(steps) >= shortest + (u * (steps - shortest + 1)).floor()
        return Split(x.masked_fill(ended.unsqueeze(2), torch.nan), missing=torch.nan)

    splits = {part: split(part, size) for part, size in sizes.items()}
    return Data(splits, "real", LICENCE, log_prob=_in_double(log_prob), sequence=True)


def _in_double(density: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A density that is computed in double precision and main memory, wherever it is asked for."""
    return lambda x: density(x.cpu().double()).to(x.device, x.dtype)


def _gaps(x: Tensor, share: float, noise: Noise) -> Tensor:
    """Which values of ``(N, D)`` are taken away:
    each with this chance, but for one of a datum that would have none left.
    """
    u = noise.uniform(x.shape)
    return (u < share) & (u < u.amax(1, keepdim=True))
