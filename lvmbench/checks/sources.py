"""Small synthetic data sets that parts are built for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.data.files import present
from lvmbench.dataset import Data, DataSummary, Split, Support
from lvmbench.noise import Stream
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref

ROWS = 60


@dataclass(frozen=True, eq=False)
class Source:
    """Data with a name for messages."""

    name: str
    data: Data
    summary: DataSummary

    @classmethod
    def of(cls, name: str, data: Data) -> Source:
        """A source from data."""
        return cls(name, data, data.summary)


def _uniform(*shape: int) -> Tensor:
    return Stream.seeded(0, "data", shape, dtype=torch.float32).uniform((ROWS, *shape)).clamp(1e-3, 1 - 1e-3)


def _logistic(x: Tensor) -> Tensor:
    """The log density of independent logistic values."""
    return (logsigmoid(x) + logsigmoid(-x)).flatten(1).sum(1)


def _source(support: Support, *shape: int, provides: str = "") -> Source:
    u = _uniform(*shape)
    x = {"binary": (u < 0.4).float(), "unit": u, "count": (-3 * u.log()).floor(), "real": u.logit()}[support]
    labels = (x.flatten(1).mean(1) > x.mean()).long()
    splits = {name: Split(x[i::3], labels[i::3]) for i, name in enumerate(("train", "validation", "test"))}
    density = _logistic if support == "real" else None
    known = frozenset({provides} - {""})
    data = Data(splits, support, "synthetic", log_prob=density, provides=known)
    return Source.of(f"{support} data of shape {shape}", data)


@cache
def synthetic() -> tuple[Source, ...]:
    """One of each support, as vectors, tables and images."""
    return (
        _source("real", 5),
        _source("binary", 3, 4),
        _source("unit", 3, 4),
        _source("binary", 1, 8, 8, provides="image"),
        _source("unit", 1, 8, 8, provides="image"),
    )


@cache
def holed() -> tuple[Source, ...]:
    """Data of which not all was observed, for parts that do not require that it was."""
    return tuple(_with_holes(source) for source in synthetic()[::3])


def _with_holes(source: Source) -> Source:
    """The same data with a third of the values missing, and of the next datum another third."""

    def holes(split: Split) -> Split:
        rows, columns = (torch.arange(size) for size in split.x.flatten(1).shape)
        gaps = ((rows.unsqueeze(1) + columns) % 3 == 0).reshape(split.x.shape)
        return replace(split, x=split.x.masked_fill(gaps, torch.nan), missing=torch.nan, whole=split.x)

    splits = {name: holes(split) for name, split in source.data.splits.items()}
    return Source.of(f"{source.name} with holes", replace(source.data, splits=splits, log_prob=None))


def without_holes(data: Data) -> Data:
    """The same data as they would be had all of x been observed."""

    def filled(split: Split) -> Split:
        assert split.whole is not None
        return replace(split, x=split.whole, missing=None)

    return replace(data, splits={name: filled(split) for name, split in data.splits.items()})


@cache
def counts() -> tuple[Source, ...]:
    """Counts, for parts that are for nothing else."""
    return (_source("count", 3, 4),)


@cache
def narrow() -> tuple[Source, ...]:
    """Data of one or two values, over which a density can be summed, and images of two."""
    vectors = (_source(support, size) for support in ("real", "unit", "binary") for size in (2, 1))
    images = (_source(support, 1, 1, 2, provides="image") for support in ("unit", "binary"))
    return (*vectors, *images)


def registered(catalogue: Catalogue) -> Iterator[Source]:
    """The first rows of every registered data set that can be loaded at its defaults without a download."""
    for entry in catalogue.entries("dataset"):
        with suppress(Exception):  # as a partner it is of no use; its own checks say why
            files = entry.load().files
            if all(present(file) for file in files):
                data: Data = catalogue.build("dataset", Ref(entry.name)).load()
                yield Source.of(f"dataset '{entry.name}'", shortened(data, ROWS // 3))


def shortened(data: Data, rows: int | None) -> Data:
    """The first rows of each split; all of them where it is not said how many."""
    splits = {
        name: replace(
            s,
            x=s.x[:rows],
            labels=_first(s.labels, rows),
            factors=_first(s.factors, rows),
            whole=_first(s.whole, rows),
        )
        for name, s in data.splits.items()
    }
    return replace(data, splits=splits)


def _first(values: Tensor | None, rows: int | None) -> Tensor | None:
    return None if values is None else values[:rows]
