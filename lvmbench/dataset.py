"""Data sets: tensors, splits, and what is known of them."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from lvmbench.component import Component
from lvmbench.data import rules as datarules
from lvmbench.data.files import RawFile
from lvmbench.errors import DataError, Refusal
from lvmbench.noise import Noise

Support = Literal["binary", "unit", "count", "real"]
IMPLIED = {"binary": ("unit",), "unit": ("real",)}
"""What else data of a support provide."""


@dataclass(frozen=True)
class Split:
    """One split: ``x`` of shape ``(N, *x)`` and, where they exist,
    integer ``labels`` ``(N,)`` and ``factors`` ``(N, F)``.

    ``factors`` are the values, as whole numbers, of the F causes that a generated datum was made from. ``x``
    may be stored in a small type, as it stays on the device; models take ``scale`` times it, in floating
    point. ``missing`` is the stored value that means *not observed*: NaN, or a code in a small type; models
    take NaN. ``whole`` is x as models would take it had all of it been observed, where that is known.
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
        if self.missing is None or math.isnan(self.missing):
            return values
        return torch.where(x == self.missing, torch.nan, values)

    def ready(self, device: torch.device) -> Split:
        """The same data with their values as models take them, on a device."""
        missing = None if self.missing is None else math.nan
        return replace(self, x=self.values.to(device), scale=1.0, missing=missing)

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value that was observed."""
        x = self.x if self.missing is None else self.x[~self.values.isnan()]
        return x.min().item() * self.scale, x.max().item() * self.scale

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        beside = [name for name in ("labels", "factors") if getattr(self, name) is not None]
        return f"Split(x={tuple(self.x.shape)}{''.join(f', {name}' for name in beside)})"


@dataclass(frozen=True, eq=False)
class DataSummary:
    """What components are built from: event shape, support, mean ``(*x)`` and number of the training data,
    and how many ``factors`` each has, where they are known.

    Where the data are not ``complete`` the mean is of what was observed. ``levels`` is how many equally
    spaced values there are, or 0 where values are no such levels.
    """

    event_shape: tuple[int, ...]
    support: Support
    mean: Tensor
    size: int = 0
    complete: bool = True
    levels: int = 0
    factors: int = 0

    @property
    def step(self) -> float:
        """How far the levels, which start at 0, are apart."""
        return 1 / (self.levels - 1) if self.support == "unit" else 1.0

    def copy(self) -> DataSummary:
        """The same with a mean of its own, which a component may keep as a weight."""
        return replace(self, mean=self.mean.clone())

    def plane(self, name: str) -> tuple[int, int]:
        """The rows and columns, for a component that is for images of one channel.

        Raises `Refusal`, with its name, for other shapes.
        """
        if len(self.event_shape) != 3 or self.event_shape[0] != 1:
            raise Refusal(
                f"{name} is for images of one channel, (1, rows, columns); the data are of shape "
                f"{self.event_shape}"
            )
        return self.event_shape[1], self.event_shape[2]


@dataclass(frozen=True)
class Data:
    """A data set in memory.

    Raises `DataError`, a `UserError` with the place, for values, labels or factors that are not as declared.

    Arguments:
        splits: ``train``, ``validation`` and ``test``, in any order.
        support: Where values lie: ``binary`` 0 or 1, ``unit`` from 0 to 1, ``count`` whole numbers from 0 on,
            ``real`` anywhere.
        licence: Under what terms the data may be used.
        visit: What a training visit makes of raw values ``(B, *x)``, with noise; dynamic binarisation is one.
            The training values of ``binary`` data then lie from 0 to 1, and visits make them 0 or 1.
        log_prob: The true log density of the data, in nats per datum, where it is known: ``(N, *x)`` to
            ``(N,)``.
        provides: Capabilities beyond those that follow from the fields (``image``, ...).
        factor_names: What the columns of the splits' factors are called.
        columns: What the values of a datum are called, where it is a vector.
        notes: What the readers of results on these data should know, each in a line.
        advice: For a support that the data do not provide, how the user can have it all the same.
    """

    splits: Mapping[str, Split]
    support: Support
    licence: str
    visit: Callable[[Tensor, Noise], Tensor] | None = None
    log_prob: Callable[[Tensor], Tensor] | None = None
    provides: frozenset[str] = field(default_factory=frozenset)
    factor_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    advice: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            if not isinstance(split, Split):
                raise DataError(f"data: split '{name}' is a {type(split).__name__}; give Split(x, labels)")
        datarules.admit(self)
        object.__setattr__(self, "splits", {name: self.splits[name] for name in datarules.SPLITS})

    def __repr__(self) -> str:
        return (
            f"Data({', '.join(f'{name}={split}' for name, split in self.splits.items())}, "
            f"support={self.support!r})"
        )

    @property
    def capabilities(self) -> frozenset[str]:
        """What this data set offers to the other components.

        ``unit`` says that values lie in [0, 1], ``real`` that they are continuous: binary data is ``binary``
        and ``unit``, unit data is ``unit`` and ``real``; counts are ``count`` and real data is ``real``.
        ``levels`` says that values are equally spaced, from 0 on.
        """
        found = {self.support, *IMPLIED.get(self.support, ())}
        found |= {"labels"} if all(s.labels is not None for s in self.splits.values()) else set()
        found |= self._of_factors
        found |= {"whole"} if all(s.whole is not None for s in self.splits.values()) else set()
        found |= {"complete"} if self.complete else set()
        found |= {"levels"} if self.levels else set()
        return self.provides | found | ({"log_prob"} if self.log_prob else set())

    @property
    def _of_factors(self) -> set[str]:
        known = [split.factors for split in self.splits.values() if split.factors is not None]
        if len(known) < len(self.splits):
            return set()
        return {"factors"} | ({"binary_factors"} if max(int(f.max()) for f in known) < 2 else set())

    @cached_property
    def complete(self) -> bool:
        """Whether all of x was observed, in every split."""
        return not any(s.missing is not None and bool(s.values.isnan().any()) for s in self.splits.values())

    @cached_property
    def levels(self) -> int:
        """How many equally spaced values there are, from 0 to 1 in steps of 1 / (levels - 1) or, of counts,
        in steps of 1 to the largest of any split; 0 where values are no such levels, or are more than 256.
        """
        return datarules.levels(self)

    @cached_property
    def summary(self) -> DataSummary:
        """What components are built from."""
        train = self.splits["train"]
        mean = train.values.mean(0) if self.complete else train.values.nanmean(0)
        factors = 0 if train.factors is None else train.factors.shape[1]
        return DataSummary(
            tuple(mean.shape), self.support, mean, len(train), self.complete, self.levels, factors
        )

    @cached_property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        ends = [s.ends for s in self.splits.values()]
        return min(low for low, _ in ends), max(high for _, high in ends)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of results on these data should know, each in a line:
        the notes, and what the values say.
        """
        return tuple(datarules.remarks(self))

    @cached_property
    def checksum(self) -> str:
        """sha256 over every split's values and labels."""
        digest = hashlib.sha256()
        for name, split in sorted(self.splits.items()):
            missing = "" if split.missing is None else f" {split.missing}"
            for tensor in (split.x, split.labels, split.factors):
                if tensor is not None:
                    digest.update(
                        f"{name} {tensor.dtype} {tuple(tensor.shape)} {split.scale}{missing}".encode()
                    )
                    digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


class Dataset(Component, ABC):
    """A source of data; its options are the keyword-only arguments of ``__init__``.

    ``files`` are the raw files it reads from the data folder, as class data.
    """

    files: tuple[RawFile, ...] = ()

    @abstractmethod
    def load(self) -> Data:
        """The data, the same at every call; raises `UserError` for files that cannot be used."""
