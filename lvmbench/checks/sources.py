"""Small synthetic data sets that parts are built for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.data.files import present
from lvmbench.dataset import Data, DataSummary, Support
from lvmbench.noise import Stream
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref
from lvmbench.split import Split

ROWS = 60
STEPS = 10
"""So many steps of a registered data set's sequences are enough for a partner."""
BYTE = 255
"""What means a missing value where values are bytes."""


@dataclass(frozen=True, eq=False)
class Source:
    """Data with a name for messages, and the same data without the holes that were made in them."""

    name: str
    data: Data
    summary: DataSummary
    full: Data | None = None

    @classmethod
    def of(cls, name: str, data: Data) -> Source:
        """A source from data."""
        return cls(name, data, data.summary)

    @cached_property
    def offers(self) -> frozenset[str]:
        """What the data offer, in the words in which it is required."""
        return frozenset(f"dataset.{word}" for word in self.data.capabilities)


def _uniform(*shape: int) -> Tensor:
    return Stream.seeded(0, "data", shape, dtype=torch.float32).uniform((ROWS, *shape)).clamp(1e-3, 1 - 1e-3)


def _logistic(x: Tensor) -> Tensor:
    """The log density of independent logistic values."""
    return (logsigmoid(x) + logsigmoid(-x)).flatten(1).sum(1)


def _source(support: Support, *shape: int, provides: str = "") -> Source:
    u = _uniform(*shape)
    x = {"binary": (u < 0.4).float(), "unit": u, "count": (-3 * u.log()).floor(), "real": u.logit()}[support]
    density = _logistic if support == "real" else None
    data = Data(_splits(x), support, "synthetic", log_prob=density, provides=frozenset({provides} - {""}))
    return Source.of(f"{support} data of shape {shape}", data)


def _levels(*shape: int) -> Source:
    """Values from 0 to 1 at 5 levels."""
    x = (5 * _uniform(*shape)).floor().to(torch.uint8)
    return Source.of(f"unit data of shape {shape} at 5 levels", Data(_splits(x, 1 / 4), "unit", "synthetic"))


def _splits(x: Tensor, scale: float = 1.0) -> dict[str, Split]:
    means = x.flatten(1).double().mean(1)
    labels = (means > means.mean()).long()
    names = enumerate(("train", "validation", "test"))
    return {name: Split(x[i::3], labels[i::3], scale) for i, name in names}


@cache
def synthetic() -> tuple[Source, ...]:
    """One of each support, as vectors, tables and images."""
    return (
        _source("real", 5),
        _levels(3, 4),
        _source("binary", 3, 4),
        _source("binary", 1, 8, 8, provides="image"),
        _source("unit", 1, 8, 8, provides="image"),
    )


@cache
def lengthy() -> tuple[Source, ...]:
    """Sequences of up to four steps; the first two of the training data are as long as that."""
    return (_sequences("real", 4, 2), _sequences("binary", 4, 3), _sequences("count", 4, 2))


@cache
def sequences() -> tuple[Source, ...]:
    """Sequences, for parts over steps; the first are of two steps at most."""
    return (_sequences("real", 2, 2), *lengthy())


def _sequences(support: Support, steps: int, size: int) -> Source:
    """Sequences of vectors, of several lengths."""
    full = _source(support, steps, size)

    def ended(split: Split) -> Split:
        lengths = torch.tensor([steps, steps, max(steps - 1, 1), 1])[torch.arange(len(split.x)) % 4]
        after = torch.arange(steps) >= lengths.unsqueeze(1)  # (N, T)
        return replace(split, x=split.x.masked_fill(after.unsqueeze(2), torch.nan), missing=torch.nan)

    splits = {name: ended(split) for name, split in full.data.splits.items()}
    data = replace(full.data, splits=splits, log_prob=None, sequence=True)
    return Source.of(f"{support} sequences of up to {steps} steps", data)


@cache
def holed() -> tuple[Source, ...]:
    """Data of which not all was observed, for parts that do not require that it was."""
    real, levels, _, binary, _ = synthetic()
    return tuple(map(_with_holes, (real, binary, levels, *counts(), *lengthy())))


def _with_holes(source: Source) -> Source:
    """The same data with a third of the values missing, and of the next datum another third."""

    def holes(split: Split) -> Split:
        rows, columns = (torch.arange(size) for size in split.x.flatten(1).shape)
        gaps = ((rows.unsqueeze(1) + columns) % 3 == 0).reshape(split.x.shape)
        code = torch.nan if split.x.is_floating_point() else BYTE
        whole = None if source.data.sequence else split.values
        return replace(split, x=split.x.masked_fill(gaps, code), missing=code, whole=whole)

    splits = {name: holes(split) for name, split in source.data.splits.items()}
    data = replace(source.data, splits=splits, log_prob=None)
    return Source(f"{source.name} with holes", data, data.summary, source.data)


@cache
def counts() -> tuple[Source, ...]:
    """Counts, for parts that are for nothing else."""
    return (_source("count", 2, 3),)


@cache
def caused() -> tuple[Source, ...]:
    """Bits that two known bits each go with, for parts that are for nothing else; as images, too."""
    return tuple(map(_with_causes, (_source("binary", 3, 4), _source("binary", 1, 3, 4, provides="image"))))


def _with_causes(source: Source) -> Source:
    """The same binary data with the first and the last of its values as factors."""

    def causes(split: Split) -> Split:
        return replace(split, factors=split.x.flatten(1)[:, [0, -1]].long())

    splits = {name: causes(split) for name, split in source.data.splits.items()}
    return Source.of(f"{source.name} with binary factors", replace(source.data, splits=splits))


def sorts() -> tuple[tuple[Source, ...], ...]:
    """All data that a part is tried with, if it can be, by their sort."""
    return synthetic(), counts(), sequences(), holed(), caused()


def everywhere() -> Iterator[Source]:
    """All of them."""
    return itertools.chain.from_iterable(sorts())


@cache
def narrow() -> tuple[Source, ...]:
    """Data of one or two values, over which a density can be summed, images of two, and bits whose causes are
    known.
    """
    supports: tuple[Support, ...] = ("real", "unit", "binary", "count")
    vectors = {support: [_source(support, size) for size in (2, 1)] for support in supports}
    images = (_source(support, 1, 1, 2, provides="image") for support in supports[1:3])
    plain = itertools.chain.from_iterable(vectors.values())
    return (*plain, _levels(2), _levels(1), *images, *map(_with_causes, vectors["binary"]))


_LOADED: WeakKeyDictionary[type, Source] = WeakKeyDictionary()
"""What was loaded of each class: catalogues share most of theirs."""


def registered(catalogue: Catalogue) -> Iterator[Source]:
    """The first rows of every registered data set that can be loaded at its defaults without a download."""
    for entry in catalogue.entries("dataset"):
        with suppress(Exception):  # as a partner it is of no use; its own checks say why
            cls = entry.load()
            if all(present(file) for file in cls.files):
                if cls not in _LOADED:
                    data: Data = catalogue.build("dataset", Ref(entry.name)).load()
                    few = shortened(data, ROWS // 3, STEPS)
                    _LOADED[cls] = Source.of(f"dataset '{entry.name}'", few)
                yield _LOADED[cls]


def shortened(data: Data, rows: int | None, steps: int | None = None) -> Data:
    """A copy of the first rows of each split, and of sequences the first steps; all where it is not said how
    many.
    """
    steps = steps if data.sequence else None
    splits = {
        name: replace(
            s,
            x=s.x[:rows, :steps].clone(),
            labels=_first(s.labels, rows),
            factors=_first(s.factors, rows),
            whole=None if s.whole is None else s.whole[:rows, :steps].clone(),
        )
        for name, s in data.splits.items()
    }
    return replace(data, splits=splits)


def _first(values: Tensor | None, rows: int | None) -> Tensor | None:
    return None if values is None else values[:rows].clone()
