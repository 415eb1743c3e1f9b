"""The batches of an epoch: each datum is in one, and of sequences those of similar length go together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench.noise import generator

SIMILAR = 0.75
"""A group of batches, but for its first two, has sequences of at least this share of its longest."""


class Shape(NamedTuple):
    """How many data a batch has, and the steps that they are cut to: none are where that is ``None``."""

    size: int
    steps: int | None = None

    @property
    def work(self) -> int:
        """What a step on such a batch costs beside others."""
        return self.size * (self.steps or 1)


class Group(NamedTuple):
    """Some of the training data, by row ``(N,)``, which are shuffled among each other;
    and the shapes of their batches.
    """

    rows: Tensor
    shapes: list[Shape]


def batch_sizes(data: int, most: int) -> list[int]:
    """The sizes of an epoch's batches:
    as few as can be, and as even as can be, so that none is far noisier than others.

    >>> batch_sizes(255, 128), batch_sizes(90, 40), batch_sizes(90, 1000)
    ([128, 127], [30, 30, 30], [90])
    """
    batches = math.ceil(data / most)
    return [len(part) for part in torch.arange(data).tensor_split(batches)]


def together(data: int, most: int) -> list[Group]:
    """All data in one group, in batches of at most so many."""
    return [Group(torch.arange(data), list(map(Shape, batch_sizes(data, most))))]


def by_length(lengths: Tensor, most: int) -> list[Group]:
    """Sequences in groups of similar length, the longest first, in batches of at most so many.

    A group has two batches or more, so that not the same data meet in every epoch.

    >>> [group.shapes for group in by_length(torch.tensor([2, 9, 3, 8, 8, 2, 1, 1]), 2)]
    [[Shape(size=2, steps=9), Shape(size=2, steps=9)], [Shape(size=2, steps=2), Shape(size=2, steps=2)]]
    """
    ordered, rows = lengths.sort(descending=True, stable=True)
    sizes = batch_sizes(len(lengths), most)
    batches = list(zip(rows.split(sizes), (int(part[0]) for part in ordered.split(sizes)), strict=True))
    starts = _starts([longest for _, longest in batches])
    parts = [batches[a:b] for a, b in zip(starts, [*starts[1:], len(batches)], strict=True)]
    return [_group([rows for rows, _ in part], part[0][1]) for part in parts]


def _group(batches: Sequence[Tensor], steps: int) -> Group:
    return Group(torch.cat(list(batches)), [Shape(len(rows), steps) for rows in batches])


def _starts(longest: Sequence[int]) -> list[int]:
    """Where groups begin among batches whose longest sequences are so long, in falling order."""
    starts = [0]
    for i, length in enumerate(longest):
        if i - starts[-1] >= 2 <= len(longest) - i and length < SIMILAR * longest[starts[-1]]:
            starts.append(i)
    return starts


class Batches:
    """The batches of each epoch, in an order of data that each seed draws for itself.

    A step has one shape for all seeds, whatever the seeds: the order of the batches depends on the epoch
    alone.

    Arguments:
        groups: The data, in groups.
        seeds: The seeds, each of which draws the order of the data within a group.
        device: Where the rows are wanted.
    """

    def __init__(self, groups: Sequence[Group], seeds: Sequence[int], device: torch.device) -> None:
        self.groups, self.device = groups, device
        self.shapes = [shape for group in groups for shape in group.shapes]
        self.orders = [generator(seed, "order") for seed in seeds]

    @property
    def examples(self) -> dict[Shape, Tensor]:
        """For each shape, the rows ``(B,)`` that a batch may have."""
        found: dict[Shape, Tensor] = {}
        for rows, shapes in self.groups:
            for shape, part in zip(shapes, rows.split([s.size for s in shapes]), strict=True):
                found.setdefault(shape, part.to(self.device))
        return found

    def epoch(self, epoch: int) -> Iterator[tuple[Shape, Tensor]]:
        """The shape and the rows, ``(S, B)``, of each batch."""
        # the order is drawn on the CPU, and so the same for every device
        drawn = torch.stack([self._order(source) for source in self.orders]).to(self.device)
        batches = list(zip(self.shapes, drawn.split([shape.size for shape in self.shapes], 1), strict=True))
        for i in self._turns(epoch):
            yield batches[i]

    def select(self, rows: Sequence[int]) -> None:
        """Go on with the seeds of these rows alone."""
        self.orders = [self.orders[row] for row in rows]

    def _order(self, source: torch.Generator) -> Tensor:
        """The rows of one seed, shuffled within each group."""
        return torch.cat([rows[torch.randperm(len(rows), generator=source)] for rows, _ in self.groups])

    def _turns(self, epoch: int) -> list[int]:
        """Which batch comes when: else each epoch would end with the shortest sequences."""
        count = len(self.shapes)
        if len(self.groups) == 1:
            return list(range(count))
        turns: list[int] = torch.randperm(count, generator=generator(epoch, "batches")).tolist()
        return turns
