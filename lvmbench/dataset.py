"""Data sets: tensors, splits, and what is known of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from lvmbench.component import Component
from lvmbench.data import cache
from lvmbench.data import rules as datarules
from lvmbench.data.files import RawFile, fetch
from lvmbench.data.published import Published
from lvmbench.data.remarks import remarks
from lvmbench.errors import DataError, Refusal
from lvmbench.latents import LatentSpace
from lvmbench.noise import Noise
from lvmbench.observation import observed, up_to_last
from lvmbench.split import Split

Support = Literal["binary", "unit", "count", "real"]
IMPLIED = {"binary": ("unit",), "unit": ("real",)}
"""What else data of a support provide."""


@dataclass(frozen=True, eq=False, repr=False)
class DataSummary:
    """What components are built from: event shape, support, mean ``(*x)`` and number of the training data,
    and how many ``factors`` each has, where they are known.

    Where the data are not ``complete`` the mean is of what was observed. ``levels`` is how many equally
    spaced values there are, or 0 where values are no such levels. Data that are sequences have ``steps``, the
    most that one has, and a ``frame``, what each step is like: its mean is ``frame_mean``, over all steps
    that were observed, and it is complete where there are no holes before a sequence's end,
    ``whole_frames``.
    """

    event_shape: tuple[int, ...]
    support: Support
    mean: Tensor
    size: int = 0
    complete: bool = True
    levels: int = 0
    factors: int = 0
    steps: int = 0
    frame_mean: Tensor | None = None
    whole_frames: bool = True

    def __repr__(self) -> str:
        return f"DataSummary({self.event_shape}, {self.support!r}, size={self.size})"

    @property
    def frame(self) -> DataSummary:
        """The summary of one step of sequences; raises `Refusal` for data that are none."""
        if not self.steps:
            raise Refusal(f"the data are no sequences: a datum is one event, of shape {self.event_shape}")
        mean = self.mean.mean(0) if self.frame_mean is None else self.frame_mean
        return replace(
            self,
            event_shape=self.event_shape[1:],
            mean=mean,
            complete=self.whole_frames,
            steps=0,
            frame_mean=None,
        )

    @property
    def step(self) -> float:
        """How far the levels, which start at 0, are apart."""
        return 1 / (self.levels - 1) if self.support == "unit" else 1.0

    def copy(self) -> DataSummary:
        """The same with means of its own, which a component may keep as a weight."""
        frame_mean = None if self.frame_mean is None else self.frame_mean.clone()
        return replace(self, mean=self.mean.clone(), frame_mean=frame_mean)

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
        columns: What the values of a datum are called, or of a step of a sequence, where that is a vector.
        notes: What the readers of results on these data should know, each in a line.
        advice: For a support that the data do not provide, how the user can have it all the same.
        sequence: Whether each datum is a sequence of steps, ``(T, *frame)``; it ends with the last step at
            which anything was observed.
        published: What others have published of models of these data.
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
    sequence: bool = False
    published: tuple[Published, ...] = ()

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
        found |= {"sequence"} if self.sequence else set()
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
        return not any(bool(gaps.any()) for gaps in self._gaps)

    @cached_property
    def whole_frames(self) -> bool:
        """Whether all was observed of every step of the sequences, up to their ends."""
        return not any(bool((gaps.flatten(2).any(2) & up_to_last(~gaps)).any()) for gaps in self._gaps)

    def in_steps(self, space: LatentSpace) -> bool:
        """Whether models with these latents go through the data step by step;
        sequences may then be cut to the longest of a batch.
        """
        return self.sequence and bool(space.steps)

    @property
    def _gaps(self) -> Iterator[Tensor]:
        """Which values were not observed, a few data at a time."""
        for split in self.splits.values():
            yield from () if split.missing is None else map(split.unobserved, datarules.chunks(split.x))

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
        total, count = _sums(train)
        mean, frame_mean = total / count, None
        if self.sequence:  # no training sequence may be as long as the longest of another split
            frame_mean = total.sum(0) / count.sum(0)
            mean = torch.where(count > 0, mean, frame_mean)
        return DataSummary(
            tuple(mean.shape),
            self.support,
            mean,
            len(train),
            self.complete,
            self.levels,
            factors=0 if train.factors is None else train.factors.shape[1],
            steps=len(mean) if self.sequence else 0,
            frame_mean=frame_mean,
            whole_frames=not self.sequence or self.whole_frames,
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
        return tuple(remarks(self))

    @cached_property
    def checksum(self) -> str:
        """sha256 over every split's values, labels and factors, and over whether they are sequences."""
        digest = hashlib.sha256(b"sequences" if self.sequence else b"")
        for name, split in sorted(self.splits.items()):
            missing = "" if split.missing is None else f" {split.missing}"
            for tensor in (split.x, split.labels, split.factors):
                if tensor is not None:
                    digest.update(
                        f"{name} {tensor.dtype} {tuple(tensor.shape)} {split.scale}{missing}".encode()
                    )
                    digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


def _sums(split: Split) -> tuple[Tensor, Tensor]:
    """The sum of what was observed, and in how many data it was, both ``(*x)``.

    The values are never in memory all at once.
    """
    total = torch.zeros(split.x.shape[1:], dtype=torch.double)
    count = torch.zeros_like(total)
    for x in datarules.chunks(split.x):
        values, seen = observed(split.decode(x))
        total += values.sum(0)
        count += seen.sum(0)
    default = torch.get_default_dtype()
    return total.to(default), count.to(default)


class Dataset(Component, ABC):
    """A source of data; its options are the keyword-only arguments of ``__init__``.

    ``files`` are the raw files it reads from the data folder, as class data; `parsed` is how.
    """

    files: tuple[RawFile, ...] = ()

    @abstractmethod
    def load(self) -> Data:
        """The data, the same at every call; raises `UserError` for files that cannot be used."""

    def parsed(
        self, read: Callable[..., Mapping[str, Split]], **options: str | float | None
    ) -> dict[str, Split]:
        """The splits that ``read(*paths, **options)`` makes of the local copies of ``files``, by name.

        They are made once, and from then on mapped into memory that the processes of a machine share, as
        long as the files' checksums, ``read`` by name, the options and ``version`` are the same. So ``read``
        depends on nothing else: a function of a module and no method.

        Raises `UserError` for files that cannot be used.
        """

        def make() -> dict[str, Tensor]:
            return _tensors(read(*map(fetch, self.files), **options))

        checksums = [file.checksum for file in self.files]
        key = (self.version, read.__module__, read.__qualname__, sorted(options.items()), checksums)
        return _splits(cache.kept(type(self).__name__, repr(key), make))


def _tensors(splits: Mapping[str, Split]) -> dict[str, Tensor]:
    """What splits hold, as tensors by split and field: numbers are tensors of no dimension."""
    return {
        f"{name}.{item.name}": value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.double)
        for name, split in splits.items()
        for item in fields(Split)
        if (value := getattr(split, item.name)) is not None
    }


def _splits(tensors: Mapping[str, Tensor]) -> dict[str, Split]:
    """The splits that `_tensors` has made tensors of."""
    found: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        split, _, item = name.partition(".")
        found.setdefault(split, {})[item] = tensor if tensor.dim() else tensor.item()
    return {name: Split(**items) for name, items in found.items()}
