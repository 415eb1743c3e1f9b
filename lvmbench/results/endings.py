"""What stands below the tables of a leaderboard, as text:
quality against time, claims, published figures, columns.
"""

from __future__ import annotations

import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.front import front_section
from lvmbench.results.sections import Section, cells

_CLAIM_NUMBERS = ("difference", "range", "n")
_REFERENCE_NUMBERS = ("ours", "published", "difference")
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


def endings(board: Board) -> list[Section]:
    """What stands below the tables of a board, in order, as far as there is something to say."""
    made = (front_section, claims_section, references_section, legend)
    return [section for make in made if (section := make(board))]


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
