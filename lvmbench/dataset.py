"""Data sets: tensors, splits, and what is known of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from lvmbench.component import Component
from lvmbench.noise import Noise
from lvmbench.rawdata import RawFile

Support = Literal["binary", "unit", "real"]


@dataclass(frozen=True)
class Split:
    """One split: ``x`` of shape ``(N, *x)`` and, where they exist, integer ``labels`` ``(N,)`` and ``factors`` ``(N, F)``.

    ``factors`` are the values, as whole numbers, of the F causes that a generated datum was made from. ``x`` may be stored in a small type, as it stays on the device; models take ``scale`` times it, in floating point.
    """

    x: Tensor
    labels: Tensor | None = None
    scale: float = 1.0
    factors: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """The values as models take them."""
        return self.decode(self.x)

    def decode(self, x: Tensor) -> Tensor:
        """Some stored values as models take them."""
        return x.to(torch.get_default_dtype()) * self.scale

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        beside = [name for name in ("labels", "factors") if getattr(self, name) is not None]
        return f"Split(x={tuple(self.x.shape)}{''.join(f', {name}' for name in beside)})"


@dataclass(frozen=True)
class DataSummary:
    """What components are built from: event shape, support, mean ``(*x)`` and number of the training data."""

    event_shape: tuple[int, ...]
    support: Support
    mean: Tensor
    size: int = 0


@dataclass(frozen=True)
class Data:
    """A data set in memory.

    Arguments:
        splits: ``train``, ``validation`` and ``test``.
        support: Where values lie: ``binary`` 0 or 1, ``unit`` from 0 to 1, ``real`` anywhere.
        licence: Under what terms the data may be used.
        visit: What a training visit makes of raw values ``(B, *x)``, with noise; dynamic binarisation is one.
        log_prob: The true log density of the data, in nats per datum, where it is known: ``(N, *x)`` to ``(N,)``.
        provides: Capabilities beyond those that follow from the fields (``image``, ...).
        factor_names: What the columns of the splits' factors are called.
    """

    splits: Mapping[str, Split]
    support: Support
    licence: str
    visit: Callable[[Tensor, Noise], Tensor] | None = None
    log_prob: Callable[[Tensor], Tensor] | None = None
    provides: frozenset[str] = field(default_factory=frozenset)
    factor_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Data({', '.join(f'{name}={split}' for name, split in self.splits.items())}, support={self.support!r})"

    @property
    def capabilities(self) -> frozenset[str]:
        """What this data set offers to the other components.

        ``unit`` says that values lie in [0, 1], ``real`` that they are continuous: binary data is ``binary`` and ``unit``,
        unit data is ``unit`` and ``real``, real data is ``real``.
        """
        found = {self.support} | {"binary": {"unit"}, "unit": {"real"}, "real": set()}[self.support]
        found |= {"labels"} if all(s.labels is not None for s in self.splits.values()) else set()
        found |= {"factors"} if all(s.factors is not None for s in self.splits.values()) else set()
        return self.provides | found | ({"log_prob"} if self.log_prob else set())

    @property
    def summary(self) -> DataSummary:
        """What components are built from."""
        train = self.splits["train"]
        mean = train.values.mean(0)
        return DataSummary(tuple(mean.shape), self.support, mean, len(train))

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        ends = [(s.x.min().item() * s.scale, s.x.max().item() * s.scale) for s in self.splits.values()]
        return min(low for low, _ in ends), max(high for _, high in ends)

    @cached_property
    def checksum(self) -> str:
        """sha256 over every split's values and labels."""
        digest = hashlib.sha256()
        for name, split in sorted(self.splits.items()):
            for tensor in (split.x, split.labels, split.factors):
                if tensor is not None:
                    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {split.scale}".encode())
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
