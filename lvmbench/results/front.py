"""Quality against time: the rows of a board that no other is both as good and as quick as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from lvmbench.errors import UserError
from lvmbench.results.board import Board
from lvmbench.results.comparison import paired_difference
from lvmbench.results.labels import table_name
from lvmbench.results.sections import Section, cells

TIME = "train_seconds"
_NAMED = ("dataset", "scale", "label", "seconds", "value")
COLUMNS = (*_NAMED, "dominated_by", "gain", "low", "high")
HOW = (
    "No other row is at least as good and at least as quick to train as these, by means over seeds. A gain "
    "is over the row above, paired over seeds, ± half the width of its 95% t interval, each by itself: where "
    "that has 0 in it, nothing shows that the longer training is worth it."
)
UNEQUAL = (
    "Runs trained in packs of {} to {}, and in a larger pack each takes less time: `lvmbench run --apart` "
    "gives times that compare."
)


def front(board: Board) -> pd.DataFrame:
    """Hold the rows of each table against each other by what ranks them and by how long their training took.

    A row is dominated where another of its table is at least as good and at least as quick, and better in one
    of the two, in the means over seeds. The others are the Pareto front.

    Returns:
        Each row of the board that has both figures, by its index there, the quickest of a table first:
        ``dataset, scale, label, seconds, value``, the label of the best row that it is ``dominated_by``,
        ``""`` on the front; and there the ``gain`` over the next quicker one of the front with its 95%
        interval ``low, high``, paired over seeds. Nothing where nothing is ranked or no time is known.
    """
    metric = board.metric
    if metric in (None, TIME) or TIME not in board.figures:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = board.frame.assign(
        label=board.labels, seconds=board.frame[TIME], value=board.frame[metric]
    ).dropna(subset=["seconds", "value"])
    found = {i: row for _, part in rows.groupby(["dataset", "scale"]) for i, row in _of_table(board, part)}
    return pd.DataFrame.from_dict(found, orient="index", columns=list(COLUMNS))


def _of_table(board: Board, rows: pd.DataFrame) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The rows of one table, the quickest first."""
    sign = -1 if board.figures[str(board.metric)].better == "lower" else 1
    rows = rows.assign(quality=sign * rows["value"])
    rows = rows.sort_values(["seconds", "quality"], ascending=[True, False], kind="stable")
    seeds = sign * board.seeds[rows["dataset"].iloc[0], rows["scale"].iloc[0]]
    best: pd.Series[Any] | None = None
    for i, row in rows.iterrows():
        named = tuple(row[name] for name in _NAMED)
        if best is None or row["quality"] > best["quality"]:
            yield i, (*named, "", *_gain(row, best, seeds))
            best = row
        else:
            alike = (row["quality"], row["seconds"]) == (best["quality"], best["seconds"])
            yield i, (*named, "" if alike else best["label"], None, None, None)


def _gain(row: pd.Series[Any], before: pd.Series[Any] | None, seeds: pd.DataFrame) -> tuple[Any, Any, Any]:
    """How much better a row is than the one before it on the front."""
    if before is None:
        return None, None, None
    found = paired_difference(seeds[row["label"]], seeds[before["label"]])
    return found.difference, found.low, found.high


def undominated(board: Board) -> Board:
    """The board with the rows of its front alone; ranks stay.

    Raises `UserError` where it has none.
    """
    found = front(board)
    if found.empty:
        raise UserError("--front: no row has both what ranks and the time of its training")
    kept = found.index[found["dominated_by"] == ""]
    return replace(board, frame=board.frame[board.frame.index.isin(kept)])


def fronts(board: Board) -> pd.DataFrame:
    """The rows of `front` whose table has two or more, so that there is something to compare."""
    found = front(board)
    return found[found.groupby(["dataset", "scale"])["label"].transform("size") > 1]


def front_section(board: Board) -> Section | None:
    """The front of each table where that is two rows or more, as text."""
    found = fronts(board)
    found = found[
        (found["dominated_by"] == "").groupby([found["dataset"], found["scale"]]).transform("sum") > 1
    ]
    if found.empty:
        return None
    kept, metric = found[found["dominated_by"] == ""], str(board.metric)
    rows = board.frame.loc[kept.index]
    tables = [table_name(*map(str, place)) for place in kept[["dataset", "scale"]].to_numpy()]
    columns = {
        "table": tables,
        "row": board.row_names[kept.index].tolist(),
        board.header(TIME): cells(rows, TIME, TIME, TIME),
        board.header(metric): cells(rows, metric, f"{metric}_low", f"{metric}_high"),
        "gain": cells(kept, "gain", "low", "high"),
    }
    if len(set(tables)) == 1:
        del columns["table"]
    left = len(found) - len(kept)
    others = [f"{left} other rows are dominated."] if left > 1 else ["1 other row is dominated."] * left
    packs = pack_sizes(board)
    unequal = [UNEQUAL.format(packs[0], packs[-1])] if len(packs) > 1 else []
    return Section("Quality against time", columns, list(columns)[-3:], notes=[HOW, *others, *unequal])


def pack_sizes(board: Board) -> list[int]:
    """How many runs trained together, of those that are ok: times compare where that is one number."""
    if "pack" not in board.records:
        return []
    ok = board.records.loc[board.records["status"] == "ok", "pack"].dropna()
    return sorted({int(size) for size in ok})
