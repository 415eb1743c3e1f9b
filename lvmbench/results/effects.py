"""Effects: what each axis of a grid is worth, everything else being equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.labels import as_text, labels
from lvmbench.results.statistics import holm, paired_difference

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
    "seeds",
    "verdict",
)


def effects(board: Board) -> pd.DataFrame:
    r"""How much better each setting of an axis is than the first, everything else being equal.

    An axis is a kind of component, the latent size or a key of the budget that varies between the rows of a
    table; its first setting is the first that the suite lists. With :math:`y_{abs}` the ranking metric of
    setting a of the axis, in the combination b of everything else, with seed s,

    .. math:: \Delta_s = \frac{1}{B} \sum_b (y_{abs} - y_{1bs})

    over the :math:`B` combinations that have both settings with every seed. The difference is the mean of
    :math:`\Delta_s`, and its interval the 95% t interval over seeds: it is about the average over these
    combinations, not about others.

    Returns:
        One row per setting and table: ``dataset, scale, axis, setting, against, difference, low, high``, the
        two-sided ``p`` of the paired t test, in how many of the ``pairs`` (B) the setting is ``better_in``,
        ``seeds``, and the ``verdict``, which Holm's limits decide for all rows of a table together. Nothing
        where a table has no grid: no row with two pairs.
    """
    if board.metric is None:
        return pd.DataFrame(columns=list(COLUMNS))
    tables = [_of_table(board, board.metric, runs) for _, runs in board.runs.groupby(["dataset", "scale"])]
    rows = [row for table in tables for row in table]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_table(board: Board, metric: str, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of one table, with their verdicts."""
    better = board.figures[metric].better
    rows = [row for axis in board.names for row in _of_axis(runs, axis, board.names, metric, better)]
    if not any(row["pairs"] > 1 for row in rows):
        return []
    apart = holm(np.array([np.nan if row["p"] is None else row["p"] for row in rows]), board.alpha)
    place = {"dataset": runs["dataset"].iloc[0], "scale": runs["scale"].iloc[0]}
    return [
        {**place, **row, "verdict": _verdict(row, told, better)}
        for row, told in zip(rows, apart, strict=True)
    ]


def _verdict(row: dict[str, Any], told: bool, better: str) -> str:
    if row["p"] is None:
        return "cannot be called with 1 seed"
    if not told:
        return "not told apart"
    return "better" if (row["difference"] > 0) == (better == "higher") else "worse"


def _of_axis(
    runs: pd.DataFrame, axis: str, names: Sequence[str], metric: str, better: str
) -> Iterator[dict[str, Any]]:
    """A row for each setting of an axis that meets the first one with everything else equal."""
    others = [name for name in names if name != axis]
    runs = runs.assign(setting=as_text(runs[axis]), rest=labels(runs, others))
    values = runs.pivot(index=["rest", "seed"], columns="setting", values=metric)
    first, *settings = dict.fromkeys(runs["setting"])
    for setting in settings:
        ours, theirs = (values[name].unstack("seed") for name in (setting, first))
        whole = (ours.notna() & theirs.notna()).all(axis=1)
        if not whole.any():
            continue
        found = paired_difference(ours[whole].mean(), theirs[whole].mean())
        gains = (ours[whole] - theirs[whole]).mean(axis=1) * (1 if better == "higher" else -1)
        yield {
            "axis": axis,
            "setting": setting,
            "against": first,
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "better_in": int((gains > 0).sum()),
            "pairs": int(whole.sum()),
            "seeds": found.n,
        }
