"""A split of a data set: what is stored of it, and what models take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lvmbench.data.rules import chunks
from lvmbench.observation import up_to_last


@dataclass(frozen=True)
class Split:
    """One split: ``x`` of shape ``(N, *x)`` and, where they exist,
    integer ``labels`` ``(N,)`` and ``factors`` ``(N, F)``.

    ``factors`` are the values, as whole numbers, of the F causes that a generated datum was made from. ``x``
    may be stored in a small type, as it stays on the device; models take ``scale`` times it, in floating
    point. ``missing`` is the stored value that means *not observed*: NaN, or a code in a small type; models
    take NaN. ``whole`` is x as models would take it had all of it been observed, where that is known.
    Sequences are ``(N, T, *frame)``, T the length of the longest of any split; nothing was observed after the
    end of one.
    """

    x: Tensor
    labels: Tensor | None = None
    scale: float = 1.0
    factors: Tensor | None = None
    missing: float | None = None
    whole: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """The values as models take them."""
        return self.decode(self.x)

    def decode(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Some stored values as models take them, in torch's default type where none is given."""
        values = x.to(dtype or torch.get_default_dtype()) * self.scale
        return values if self.missing is None else torch.where(self.unobserved(x), torch.nan, values)

    def ready(self, device: torch.device) -> Split:
        """The same data with their values as models take them, on a device."""
        missing = None if self.missing is None else math.nan
        return replace(self, x=self.values.to(device), scale=1.0, missing=missing)

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value that was observed."""
        seen = (x if self.missing is None else x[~self.unobserved(x)] for x in chunks(self.x))
        ends = [(x.min().item(), x.max().item()) for x in seen if x.numel()]
        return min(low for low, _ in ends) * self.scale, max(high for _, high in ends) * self.scale

    def unobserved(self, x: Tensor) -> Tensor:
        """Which of some stored values mean that nothing was observed."""
        if self.missing is None or math.isnan(self.missing):
            return x.isnan()
        if x.is_floating_point():
            return (x == self.missing) | x.isnan()
        code = torch.tensor(self.missing, dtype=torch.float64).to(x.dtype).item()
        # bytes are compared as they are, which is faster than as floats, but for a code that no byte is
        return x == (code if code == self.missing else float(self.missing))

    @cached_property
    def lengths(self) -> Tensor:
        """How many steps each sequence has, ``(N,)``, up to the last one at which anything was observed;
        in main memory.
        """
        return torch.cat([up_to_last(~self.unobserved(x)).sum(1) for x in chunks(self.x)]).cpu()

    def batches(self, size: int, *, trim: bool = False) -> Iterator[Tensor]:
        """The values as models take them, at most so many data at a time;
        trimmed, sequences are as long as the longest of each time.
        """
        parts = self.x.split(size)
        if not trim:
            return map(self.decode, parts)
        longest = (part.max() for part in self.lengths.split(size))
        return (self.decode(x[:, :steps]) for x, steps in zip(parts, longest, strict=True))

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        beside = [name for name in ("labels", "factors") if getattr(self, name) is not None]
        return f"Split(x={tuple(self.x.shape)}{''.join(f', {name}' for name in beside)})"
