"""The runs of a table as a grid: everything else, the settings of one axis or some, and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lvmbench.results.labels import labels

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
NOT_PLANNED, NOT_MEASURED = "not planned", "not measured"
_FOLLOWS = "estimator"
"""The part that follows from the others where a suite leaves it open."""


class Whole(NamedTuple):
    """What some settings have where all of them have every seed.

    Arguments:
        values: The figure, ``(settings, B, S)``.
        cells: Which B of the grid's cells these are.
        seeds: Which S of its seeds.
    """

    values: Array
    cells: Flags
    seeds: Flags


def axes(runs: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The columns that tell the combinations of a table apart, without the estimator where it follows from
    the other parts: where a suite leaves it open, parts are compared with the estimators that suit them.
    """
    left = [name for name in names if name != _FOLLOWS]
    follows = len(left) < len(names) and not runs.duplicated([*left, "seed"]).any()
    return left if follows else list(names)


class Grid:
    """A figure of the runs of a table: cells of everything else, by settings, by seeds.

    Arguments:
        runs: The runs of one data set and scale.
        figure: The column with the figure.
        names: The columns that tell the combinations apart.
        settings: For each run what is held against each other.
        by: The axes that these settings are of.
    """

    def __init__(
        self,
        runs: pd.DataFrame,
        figure: str,
        names: Sequence[str],
        settings: pd.Series[str],
        by: Sequence[str],
    ) -> None:
        others = [name for name in axes(runs, names) if name not in by]
        rest = labels(runs, others) if others else pd.Series("", index=runs.index)
        cell, self.cells = pd.factorize(rest)
        setting, held = pd.factorize(settings)
        seed, self.seeds = pd.factorize(runs["seed"], sort=True)
        self.settings = {str(name): place for place, name in enumerate(held)}
        self._runs = runs
        self._place = np.full((len(self.cells), len(held), len(self.seeds)), -1)
        self._place[cell, setting, seed] = np.arange(len(runs))
        self._values = np.where(self._place < 0, np.nan, runs[figure].to_numpy(dtype=float)[self._place])

    def whole(self, settings: Sequence[str]) -> Whole:
        """The cells that all these settings have with every seed that any cell has of all of them."""
        values = self._values[:, self._columns(settings)]
        both = np.asarray(np.isfinite(values).all(axis=1))
        seeds = np.asarray(both.any(axis=0))
        cells = np.asarray(both[:, seeds].all(axis=1) & seeds.any())
        return Whole(values[cells][:, :, seeds].swapaxes(0, 1), cells, seeds)

    def of(self, column: str, setting: str, found: Whole) -> npt.NDArray[Any]:
        """Another column of the runs of a setting where it is whole, ``(B, S)``."""
        places = self._place[found.cells, self.settings[setting]][:, found.seeds]
        return np.asarray(self._runs[column].to_numpy()[places])

    def left_out(self, settings: Sequence[str], found: Whole) -> Iterator[tuple[str, str]]:
        """The cells of which some of these settings has a value and which are not whole, and why."""
        columns = self._columns(settings)
        there = np.isfinite(self._values[:, columns]).any(axis=(1, 2)) & ~found.cells
        for cell in np.flatnonzero(there):
            lost = (self._endings[cell, column] for column in columns)
            yield str(self.cells[int(cell)]), next((why for why in lost if why != "ok"), NOT_MEASURED)

    def _columns(self, settings: Sequence[str]) -> list[int]:
        return [self.settings[setting] for setting in settings]

    @cached_property
    def _endings(self) -> npt.NDArray[Any]:
        """What became of the runs of each cell and setting: what is not ok, where something is not."""
        statuses = self._runs["status"].to_numpy()
        found = [
            next((statuses[run] for run in runs[runs >= 0] if statuses[run] != "ok"), "ok")
            if (runs >= 0).any()
            else NOT_PLANNED
            for runs in self._place.reshape(-1, len(self.seeds))
        ]
        return np.array(found, dtype=object).reshape(self._place.shape[:2])


def counted(left_out: Iterator[tuple[str, str]]) -> str:
    """How many cells are left out for each reason.

    >>> counted(iter([("a", "refused"), ("b", "failed"), ("c", "refused")]))
    '2 refused, 1 failed'
    """
    return ", ".join(f"{n} {why}" for why, n in Counter(why for _, why in left_out).most_common())
