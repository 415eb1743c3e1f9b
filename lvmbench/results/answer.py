"""What a board comes to, in words: what to use, how sure that is, what each part is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.front import TIME, pack_sizes
from lvmbench.results.labels import table_name
from lvmbench.results.sections import cell
from lvmbench.status import SETTLED
from lvmbench.text import listed

NAMED = 3
"""So many rows that share a rank are named, and so many parts that are not told apart; more are counted."""
_TABLE = ["dataset", "scale"]


@dataclass(frozen=True)
class Answer:
    """What one table of a board comes to, sentence by sentence; the first says which row to use.

    ``table`` is its name where a board has several, and otherwise empty.
    """

    table: str
    sentences: Sequence[str]

    def __str__(self) -> str:
        return " ".join([f"{self.table}:", *self.sentences] if self.table else self.sentences)


def answer(board: Board) -> list[Answer]:
    """What each table of a board comes to: which row to use, how sure that is, what parts are worth.

    Where nothing is ranked it says so.
    """
    if board.metric is None or board.frame[board.metric].isna().all():
        return [Answer("", [_nothing(board)])]
    tables = list(board.frame[board.frame[board.metric].notna()].groupby(_TABLE))
    parts, pairs = board.worth.parts, board.worth.pairs
    found = [
        Answer(
            table_name(*map(str, place)) if len(tables) > 1 else "",
            [*_of_table(board, rows), *_parts(board, _at(parts, place)), *_pairs(_at(pairs, place))],
        )
        for place, rows in tables
    ]
    return [*found, *_unsettled(board)]


def _at(found: pd.DataFrame, place: Any) -> pd.DataFrame:
    """The rows of one table."""
    own: pd.Series[bool] = (found["dataset"] == place[0]) & (found["scale"] == place[1])
    return found[own]


def _nothing(board: Board) -> str:
    """What is said where nothing is ranked."""
    counts = ", ".join(f"{n} {status}" for status, n in board.counts.items())
    if not board.counts.get("ok"):
        return f"No run gave a result ({counts}), so there is nothing to compare."
    return f"This board ranks nothing; it says what goes with what ({counts})."


def _unsettled(board: Board) -> Iterator[Answer]:
    """What is said where runs have yet to give a result."""
    left = {status: n for status, n in board.counts.items() if status not in SETTLED}
    if left:
        counts = ", ".join(f"{n} {status}" for status, n in left.items())
        runs = f"{sum(left.values())} of {sum(board.counts.values())} runs"
        yield Answer("", [f"{runs} gave no result ({counts}): what is said here may change with them."])


def _of_table(board: Board, rows: pd.DataFrame) -> Iterator[str]:
    """The best row of a table, and how sure that is; rows without a rank only where none has one."""
    rows = rows.assign(name=board.row_names[rows.index])
    ranked = rows["rank"].notna()
    first, others = (rows[ranked], rows[~ranked]) if ranked.any() else (rows, rows[:0])
    found = f"{first['name'].iloc[0]}: {_value(board, first.iloc[0])}"
    if len(rows) == 1:
        yield f"The only row with a result is {found}."
    elif len(first) == 1:
        yield f"The only row with a rank is {found}."
    else:
        yield f"Use {found}, the best of {len(first)} rows in {_wins(board, first)}."
        yield from _sure(first, timed=len(pack_sizes(board)) <= 1)
    if len(others):
        named = [f"{row['name']} ({_value(board, row)})" for _, row in others.iterrows()]
        yield f"Not ranked, for want of seeds: {listed(named, NAMED)}."


def _value(board: Board, row: pd.Series[Any]) -> str:
    """What a row has reached, with its unit."""
    metric = str(board.metric)
    text = cell(*(float(row[metric + end]) for end in ("", "_low", "_high")))
    return f"{board.called(metric)} {text} {board.figures[metric].unit}".rstrip()


def _wins(board: Board, rows: pd.DataFrame) -> str:
    """In how many of its seeds the first row is the best."""
    named = board.labels[rows.index]
    own = board.seeds[rows["dataset"].iloc[0], rows["scale"].iloc[0]][named].dropna(subset=named[:1])
    lower = board.figures[str(board.metric)].better == "lower"
    best = own.min(axis=1) if lower else own.max(axis=1)
    return f"{int((own.iloc[:, 0] == best).sum())} of {len(own)} seeds"


def _sure(rows: pd.DataFrame, *, timed: bool) -> Iterator[str]:
    """Which rows the first is not told apart from, and which of these is the quickest, if times compare."""
    if pd.isna(rows["rank"].iloc[0]):
        yield "How sure that is cannot be said of a single seed."
        return
    first, *others = rows[rows["rank"] == 1].to_dict("records")
    if not others:
        yield "No other row shares its rank."
        return
    named = listed([row["name"] for row in others], NAMED)
    yield f"With {first['seeds']} seeds it cannot be told apart from {named}."
    quickest = min([first, *others], key=lambda row: row.get(TIME, 0.0))
    if timed and quickest is not first:
        seconds = f"{quickest[TIME]:.3g} s of training, not {first[TIME]:.3g} s"
        yield f"The quickest of these is {quickest['name']}: {seconds}."


def _parts(board: Board, found: pd.DataFrame) -> Iterator[str]:
    """What each part is worth, those that are told apart first."""
    told = found["verdict"].isin(["better", "worse"])
    worth, others = (found[own].to_dict("records") for own in (told, ~told))
    if worth:
        said = "; ".join(map(_worth, worth))
        yield f"Everything else being equal, parts are worth in {board.called(str(board.metric))}: {said}."
    if others:
        yield f"What these are worth cannot be told: {listed([_exchange(row) for row in others], NAMED)}."


def _pairs(found: pd.DataFrame) -> Iterator[str]:
    """Which pairs of parts are worth more or less than the sum of what each is worth."""
    told = found[found["verdict"].isin(["better", "worse"])].to_dict("records")
    if told:
        named = listed([f"{row['setting']} {_signed(row)}" for row in told], NAMED)
        yield f"Beyond the sum of their parts, pairs bring: {named}."


def _exchange(row: dict[Any, Any]) -> str:
    return f"{row['axis']} {row['setting']} instead of {row['against']}"


def _worth(row: dict[Any, Any]) -> str:
    """What one setting is worth against another."""
    return f"{_exchange(row)} {_signed(row)} ({row['verdict']})"


def _signed(row: dict[Any, Any]) -> str:
    """A difference with its sign and interval."""
    text = cell(*(float(row[end]) for end in ("difference", "low", "high")))
    return f"+{text}" if row["difference"] > 0 else text
