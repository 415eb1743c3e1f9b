"""Effects: what each part of a grid is worth, everything else being equal, and which pairs are worth more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import combinations, islice, product
from typing import Any

import numpy as np
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.comparison import Comparison, seeds_to_call, told_apart
from lvmbench.results.grid import Grid, axes, counted
from lvmbench.results.labels import as_text

COLUMNS = (
    "dataset",
    "scale",
    "axis",
    "setting",
    "against",
    "difference",
    "low",
    "high",
    "p",
    "better_in",
    "pairs",
    "left_out",
    "other_estimators",
    "seeds",
    "needed",
    "verdict",
)
_TYPES: dict[str, Any] = {"difference": float, "low": float, "high": float, "p": float, "needed": "Int64"}
"""Of columns in which a value may be wanting."""
INCONCLUSIVE = "inconclusive"
_WORDS = {"higher": ("better", "worse"), "lower": ("worse", "better"), "neither": ("higher", "lower")}
"""What a setting is called whose figure is higher or lower, by which of these is better."""
BY = " × "
"""What stands between the parts of a pair."""
_SIDES = ("setting", "against")
_CORNERS = [(side, side) for side in _SIDES] + [_SIDES, _SIDES[::-1]]
"""The four combinations that a pair is held against: both, neither, and either alone."""


def effects(board: Board) -> pd.DataFrame:
    r"""How much better each setting of an axis is than another, everything else being equal.

    An axis is a kind of component, the latent size or a key of the budget that varies between the rows of a
    table. A setting is held against the first that the suite lists of its axis, or where they never meet
    against the first that it meets. With :math:`y_{abs}` the ranking metric of setting a of the axis, in the
    combination b of everything else, with seed s,

    .. math:: \Delta_s = \frac{1}{B} \sum_b (y_{abs} - y_{a'bs})

    over the :math:`B` combinations that have both settings with every seed. The difference is the mean of
    :math:`\Delta_s`, and its interval the 95% t interval over seeds. That is what a linear mixed model gives
    of a whole grid with seeds, and seeds by settings, as random effects: what the runs of a seed have in
    common, as the test data that it draws, is in the error. It is about the average over these combinations,
    not about others.

    Returns:
        One row per setting and table: ``dataset, scale, axis, setting, against, difference, low, high``, the
        two-sided ``p`` of the paired t test, in how many of the ``pairs`` (B) the setting is ``better_in``,
        how many pairs of combinations were ``left_out`` as one of the two is not whole, and why, in how many
        of them the estimators differ, as they follow from the parts (``other_estimators``), ``seeds``, about
        how many would be ``needed`` to call a difference as it was found, and the ``verdict``, which Holm's
        limits decide for all rows of a table together. Nothing where a table has no grid: no row with two
        pairs.
    """
    return _rows(board.grids, lambda table: table.parts)


def interactions(board: Board) -> pd.DataFrame:
    r"""How much better each pair of settings is than the sum of what its two parts are worth.

    With a and c settings of two axes, and a' and c' those that `effects` holds them against,

    .. math:: \Delta_s = \frac{1}{B} \sum_b \big[(y_{acbs} - y_{a'c'bs})
              - (y_{ac'bs} - y_{a'c'bs}) - (y_{a'cbs} - y_{a'c'bs})\big]

    over the :math:`B` combinations of everything else that have all four with every seed.

    Returns:
        As `effects`, with the two axes, settings and what these are held against each as ``a × c``. Holm's
        limits are for all pairs of a table.
    """
    return _rows(board.grids, lambda table: table.pairs)


def grids(board: Board) -> list[Table]:
    """The tables of a board that have a grid."""
    runs = board.runs.groupby(["dataset", "scale"]) if board.metric else ()
    tables = [Table(board, str(board.metric), own) for _, own in runs]
    return [table for table in tables if table.is_grid]


def _rows(tables: Iterable[Table], of: Callable[[Table], list[dict[str, Any]]]) -> pd.DataFrame:
    """The rows of each table with their verdicts."""
    rows = [{**table.place, **row} for table in tables for row in table.judged(of(table))]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


class Table:
    """What the parts of one table are worth.

    Arguments:
        board: The board that it is of.
        metric: What is compared.
        runs: The runs of the table.
    """

    def __init__(self, board: Board, metric: str, runs: pd.DataFrame) -> None:
        self.runs, self.metric, self.alpha = runs, metric, board.alpha
        self.names = axes(runs, board.names)
        self.place = {name: str(runs[name].iloc[0]) for name in ("dataset", "scale")}
        better = board.figures[metric].better
        self.sign, self.words = -1 if better == "lower" else 1, _WORDS[better]

    @cached_property
    def parts(self) -> list[dict[str, Any]]:
        """A row for each setting of each axis that meets another with everything else equal."""
        return [row for axis in self.names for row in self._of_axis(axis)]

    @property
    def is_grid(self) -> bool:
        """Whether any part was exchanged in more than one combination of everything else."""
        return any(row["pairs"] > 1 for row in self.parts)

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """A row for each pair of settings of two axes."""
        parts: dict[str, list[dict[str, Any]]] = {}
        for row in self.parts:
            parts.setdefault(row["axis"], []).append(row)
        return [row for one, other in combinations(parts.values(), 2) for row in self._of_axes(one, other)]

    def judged(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The rows with their verdicts, by Holm's limits for all of them."""
        told = told_apart([row["found"] for row in rows], self.alpha)
        level = 1 - self.alpha / max(len(rows), 1)
        for row, apart in zip(rows, told, strict=True):
            needed = None if apart else seeds_to_call(row["found"], level)
            called = self.words[int(row["difference"] < 0)] if apart else INCONCLUSIVE
            yield {**row, "needed": needed, "verdict": called}

    def _of_axis(self, axis: str) -> Iterator[dict[str, Any]]:
        values = as_text(self.runs[axis])
        if values.nunique() < 2:
            return
        grid = Grid(self.runs, self.metric, self.names, values, [axis])
        settings = list(grid.settings)
        for place, setting in enumerate(settings):
            met = (self._row(grid, axis, [setting, other], [1, -1]) for other in settings[:place])
            yield from islice(filter(None, met), 1)

    def _of_axes(self, one: list[dict[str, Any]], other: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        by = [one[0]["axis"], other[0]["axis"]]
        both = as_text(self.runs[by[0]]) + BY + as_text(self.runs[by[1]])
        grid = Grid(self.runs, self.metric, self.names, both, by)
        for a, c in product(one, other):
            corners = [a[x] + BY + c[y] for x, y in _CORNERS]
            if all(corner in grid.settings for corner in corners):
                yield from filter(None, [self._row(grid, BY.join(by), corners, [1, 1, -1, -1])])

    def _row(
        self, grid: Grid, axis: str, settings: Sequence[str], weights: Sequence[int]
    ) -> dict[str, Any] | None:
        """By how much settings differ, added up by these weights; none where they never meet."""
        found = grid.whole(settings)
        if not found.cells.any():
            return None
        gains = np.tensordot(weights, found.values, 1)
        compared = Comparison.by_seed(gains.mean(axis=0))
        estimators = np.stack([grid.of("estimator", setting, found)[:, 0] for setting in settings])
        return {
            "axis": axis,
            "setting": settings[0],
            "against": settings[1],
            "difference": compared.difference,
            "low": compared.low,
            "high": compared.high,
            "p": compared.p,
            "better_in": int((gains.mean(axis=1) * self.sign > 0).sum()),
            "pairs": len(gains),
            "left_out": counted(grid.left_out(settings, found)),
            "other_estimators": int((estimators != estimators[0]).any(axis=0).sum()),
            "seeds": compared.n,
            "found": compared,
        }
