"""What stands below the tables of a leaderboard, as text:
quality against time, claims, published figures, columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lvmbench.results.baselines import Table, compared, tables
from lvmbench.results.board import WAY, Board
from lvmbench.results.front import front_section
from lvmbench.results.sections import Section, cell, cells, share

_CLAIM_NUMBERS = ("difference", "range", "n")
_REFERENCE_NUMBERS = ("ours", "published", "difference")
_BASELINE_HEADS = ("table", "model", "log p(x)", WAY, "which")
_BASELINE_NUMBERS = ("log p(x)", WAY)
JUDGED = (
    "An order is decided by the 95% interval of the difference, paired over seeds, each claim by itself; "
    "where that has 0 in it, so many seeds would decide about a difference as it was found with a chance of "
    "80%. An agreement is decided by every run, whose smallest and largest difference are given; one in "
    "standard errors allows for as many runs as there are (Sidak)."
)
PUBLISHED = (
    "Ours is the mean over seeds ± half the width of the 95% t interval, and the difference is ours less the "
    "published figure, with the interval of ours alone."
)
BASELINES = (
    "Models of the data, not ranked: each is fitted once, and what is to be chosen is chosen on validation. "
    "log p(x) is exact, in nats per datum: the mean over the test split ± half its 95% interval over data."
)


def endings(board: Board) -> list[Section]:
    """What stands below the tables of a board, in order, as far as there is something to say."""
    made = (baselines_section, front_section, claims_section, references_section, legend)
    return [section for make in made if (section := make(board))]


def baselines_section(board: Board) -> Section | None:
    """What rows are held against: models of the data that are not ranked, and what others published."""
    found = list(tables(board))
    if not found:
        return None
    rows = [
        (table.name, *_reference_row(table, row)) for table in found for row in table.rows.to_dict("records")
    ]
    columns = dict(zip(_BASELINE_HEADS, map(list, zip(*rows, strict=True)), strict=True))
    if len(found) == 1:
        del columns["table"]
    if not any(columns["which"]):
        del columns["which"]
    notes = [BASELINES, *_of_the_way(board, found)]
    return Section("Reference rows", columns, _BASELINE_NUMBERS, notes=notes)


def _of_the_way(board: Board, found: Iterable[Table]) -> list[str]:
    """What the shares of the way are of."""
    ends = [f"{table.scale.end:.4g} for {table.name} ({table.scale.best})" for table in found if table.scale]
    if (figure := compared(board)) is None or not ends:
        return []
    way = f"how far {board.called(figure)} has come from the marginals (0%) to the best known (100%)"
    return [f"{WAY.capitalize()} is {way}: {'; '.join(ends)}."]


def _reference_row(table: Table, row: Mapping[Any, Any]) -> tuple[str, str, str, str]:
    """Name, log p(x), how far of the way, and what was chosen, where it is from or why there is none."""
    value, error = float(row["value"]), 1.96 * float(row["stderr"])
    way = share(table.scale.of(value)) if table.scale else "–"
    said = (row["choice"], row["source"], row["reason"], "" if row["status"] == "ok" else row["status"])
    return str(row["baseline"]), cell(value, value - error, value + error), way, "; ".join(filter(None, said))


def claims_section(board: Board) -> Section | None:
    """What became of each claim, where the suite makes any."""
    if board.claims.empty:
        return None
    return Section("Claims", claim_columns(_entitled(board, board.claims)), _CLAIM_NUMBERS, notes=[JUDGED])


def references_section(board: Board) -> Section | None:
    """Published figures beside ours, where the suite names any."""
    if board.references.empty:
        return None
    return Section(
        "Published figures",
        reference_columns(_entitled(board, board.references)),
        _REFERENCE_NUMBERS,
        notes=[PUBLISHED],
    )


def legend(board: Board) -> Section | None:
    """What the columns of figures are: title, unit, a sentence, and the name that commands take."""
    if not board.headline:
        return None
    figures = [board.figures[name] for name in board.headline]
    columns = {
        "column": [board.called(name) for name in board.headline],
        "unit": [figure.unit for figure in figures],
        "meaning": [figure.meaning for figure in figures],
        "name": list(board.headline),
    }
    return Section("Columns", columns)


def _entitled(board: Board, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows about figures, with the titles of these."""
    return rows.assign(figure=rows["figure"].map(board.called))


def claim_columns(claims: pd.DataFrame) -> dict[str, list[str]]:
    """What became of each claim, as text by header."""
    spans = zip(claims["low"], claims["high"], strict=True)
    return {
        "claim": claims["claim"].astype(str).tolist(),
        "from": claims["source"].astype(str).tolist(),
        "figure": claims["figure"].astype(str).tolist(),
        "difference": [_number(value) for value in claims["value"]],
        "range": [f"{_number(low)} … {_number(high)}" for low, high in spans],
        "n": claims["n"].astype(str).tolist(),
        "verdict": claims["verdict"].astype(str).tolist(),
    }


def reference_columns(references: pd.DataFrame) -> dict[str, list[str]]:
    """Published figures beside ours, as text by header; without ours, why."""
    numbers = references[["ours", "low", "high", "published"]].astype(float)
    off = numbers.sub(numbers["published"], axis=0)
    missing = (references["status"] != "ok").tolist()
    said = zip(missing, references["status"], cells(numbers, "ours", "low", "high"), strict=True)
    notes = zip(references["reason"], references["note"], strict=True)
    return {
        "combination": references["combination"].astype(str).tolist(),
        "figure": references["figure"].astype(str).tolist(),
        "ours": [f"– ({status})" if none else text for none, status, text in said],
        "published": [f"{value:.6g}" for value in numbers["published"]],
        "difference": cells(off, "ours", "low", "high"),
        "from": references["source"].astype(str).tolist(),
        "note": ["; ".join(filter(None, pair)) for pair in notes],
    }


def _number(value: float | None) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.4g}"
