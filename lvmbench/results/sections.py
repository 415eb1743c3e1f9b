"""A leaderboard laid out as text, section by section; markdown, html and the terminal each only set it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from lvmbench.results.board import WAY, Board
from lvmbench.results.labels import as_text, combination_labels, shorten, table_name
from lvmbench.status import Status

FEW = 10
"""The most refused combinations of a section that are named; more are counted by reason."""
COUNTED = (
    "refused combinations are counted by reason; `lvmbench leaderboard DIR --refused` names them, and "
    "records.csv has them all"
)
IMPROVING = "their best epoch is among the last 5% of those they trained, and patience had not stopped them"
SCALES = (
    "ranked among themselves only: a density is not held against a probability, nor the bound of one "
    "objective against that of another"
)


def cell(mean: float, low: float, high: float) -> str:
    """A mean with half the width of its interval, both to the digits that the interval leaves meaningful.

    >>> cell(-95.1234, -95.6234, -94.6234), cell(2.5, math.nan, math.nan), cell(math.nan, math.nan, math.nan)
    ('-95.12 ± 0.50', '2.5', '–')
    >>> cell(123456.0, 123000.0, 123912.0), cell(16.0, 16.0, 16.0), cell(3.2e-7, 3.1e-7, 3.3e-7)
    ('123456 ± 456', '16', '3.20e-07 ± 1.0e-08')
    """
    if not math.isfinite(mean):
        return "–"
    width = (high - low) / 2
    if not width > 0:
        return f"{mean:.4g}" if abs(mean) < 1000 else f"{mean:.0f}"
    if abs(mean) >= 1e7 or 0 < abs(mean) < 1e-3:
        return f"{mean:.2e} ± {width:.1e}"
    digits = min(max(1 - math.floor(math.log10(width)), 0), 4)
    return f"{mean:.{digits}f} ± {width:.{digits}f}"


@dataclass(frozen=True)
class Hole:
    """How many combinations have no result on a data set, for the same reason, and which;
    those that were refused may only be counted.
    """

    status: str
    reason: str
    count: int
    combinations: list[str]


@dataclass(frozen=True)
class Section:
    """One table as text, of a data set's rows that are ranked together.

    Arguments:
        title: The data set, and what its rows are ranked by where that differs between them.
        columns: The text of each row, by header.
        numbers: The headers of the columns that hold numbers.
        constant: What is the same in each row.
        holes: What is missing.
        notes: What to know of it, one sentence each.
        index: Which rows of the board's frame these are, where they are rows of it.
    """

    title: str
    columns: dict[str, list[str]]
    numbers: Sequence[str] = ()
    constant: dict[str, str] = field(default_factory=dict)
    holes: Sequence[Hole] = ()
    notes: Sequence[str] = ()
    index: Sequence[int] = ()


def sections(board: Board, *, short: bool = False, refused: bool = False) -> list[Section]:
    """Lay out a board: one section for each data set and scale.

    Arguments:
        board: The board.
        short: Whether to `shorten` names; a note then gives them in full.
        refused: Whether to name all combinations that were refused; where they are more than `FEW`, they are
            counted by reason otherwise.
    """
    parts = [
        _of_dataset(board, str(dataset), rows, short) for dataset, rows in board.frame.groupby("dataset")
    ]
    if not refused:
        parts = [[_counted(section) for section in part] for part in parts]
    *others, last = [section for part in parts for section in part]
    return [*others, replace(last, notes=[*last.notes, *_left_out(board)])]


def _of_dataset(board: Board, dataset: str, part: pd.DataFrame, short: bool) -> list[Section]:
    """A section for each scale, the last of which says what gave no result."""
    measured = part[part["seeds"] > 0]
    scales = list(dict.fromkeys(measured["scale"])) or [""]
    rows = [measured[measured["scale"] == scale] for scale in scales]
    rows[-1] = pd.concat([rows[-1], part[part["seeds"] == 0]])
    apart = [SCALES] * (len(scales) > 1)
    *others, last = [
        _section(board, table_name(dataset, scale), own, short)
        for scale, own in zip(scales, rows, strict=True)
    ]
    last = replace(last, notes=[*board.remarks.get(dataset, ()), *last.notes])
    return [replace(section, notes=[*section.notes, *apart]) for section in (*others, last)]


def _section(board: Board, title: str, part: pd.DataFrame, short: bool) -> Section:
    names = board.names
    measures = [name for name in names if pd.api.types.is_numeric_dtype(part[name])]
    part = part.assign(**{name: as_text(part[name]) for name in names}, runs=_runs(part))
    full = [value for name in names for value in part[name]]
    if short:
        part = part.assign(**{name: part[name].map(shorten(part[name])) for name in names})
    filled, empty = part[part["seeds"] > 0], part[part["seeds"] == 0]
    constant = {name: str(filled[name].iloc[0]) for name in [*names, "runs"] if _same(filled, name)}
    labels = combination_labels(part, names)
    legend = _legend(full, [value for name in names for value in part[name]])
    notes = [*_notes(filled, labels), *legend, *_improving(filled)]
    numbers = ["rank", *measures, *map(board.header, board.headline), WAY]
    columns, holes, index = _columns(board, filled, constant), _holes(empty, labels), filled.index.tolist()
    return Section(title, columns, numbers, constant, holes, notes, index)


def _columns(board: Board, filled: pd.DataFrame, constant: Mapping[str, str]) -> dict[str, list[str]]:
    """Rank, the components that differ, the figures, how far of the way from the marginals to the best known,
    and the runs where their number differs.
    """
    if filled.empty:
        return {}
    ranks = {"rank": ["–" if pd.isna(r) else str(r) for r in filled["rank"]]} if board.metric else {}
    left = {name: filled[name].tolist() for name in board.names if name not in constant}
    figures = {
        board.header(name): cells(filled, name, f"{name}_low", f"{name}_high") for name in board.headline
    }
    ways = {} if WAY not in filled or filled[WAY].isna().all() else {WAY: list(map(share, filled[WAY]))}
    runs = {} if "runs" in constant else {"runs": filled["runs"].tolist()}
    return {**ranks, **left, **figures, **ways, **runs}


def share(way: float) -> str:
    """How far a row has come: 100% is the best that is known."""
    return "–" if pd.isna(way) else f"{way:.1%}"


def _improving(filled: pd.DataFrame) -> list[str]:
    """How many runs were not trained to an end."""
    known = filled[filled["improving"].notna()]
    runs, still = int(known["seeds"].sum()), int(known["improving"].sum())
    return [f"{still} of {runs} runs ended while still improving: {IMPROVING}"] if still else []


def _left_out(board: Board) -> list[str]:
    """What the results hold and the board does not show."""
    runs, evaluators = board.unasked.runs, board.unasked.evaluators
    said = (
        f"{runs} run{'s' * (runs != 1)} of combinations that the suite no longer has are kept and not shown"
    )
    figures = (
        f"figures of evaluators that the suite no longer has are kept and not shown: {', '.join(evaluators)}"
    )
    return [said] * bool(runs) + [figures] * bool(evaluators)


def _same(rows: pd.DataFrame, name: str) -> bool:
    """Whether a column can be said once; a lone row keeps its prior and posterior, to have a name."""
    return bool(rows[name].nunique() == 1 and (len(rows) > 1 or name not in ("prior", "posterior")))


def _runs(part: pd.DataFrame) -> list[str]:
    return [
        f"{n} ok" if status == "ok" else str(status)
        for n, status in zip(part["seeds"], part["status"], strict=True)
    ]


def _legend(full: list[str], shown: list[str]) -> list[str]:
    cut = dict.fromkeys(name for name, short in zip(full, shown, strict=True) if name != short)
    return [f"in full: {', '.join(cut)}"] if cut else []


def cells(part: pd.DataFrame, mean: str, low: str, high: str) -> list[str]:
    return [cell(*row) for row in part[[mean, low, high]].astype(float).itertuples(index=False)]


def _holes(empty: pd.DataFrame, labels: pd.Series[str]) -> list[Hole]:
    """Those of a status together, the most frequent reasons first."""
    groups = empty.groupby(["status", "reason"])
    holes = [Hole(str(s), str(why), len(part), labels[part.index].tolist()) for (s, why), part in groups]
    return sorted(holes, key=lambda hole: (hole.status, -hole.count))


def _counted(section: Section) -> Section:
    """The section without the names of the combinations that were refused, where these are many."""
    refused = [hole for hole in section.holes if hole.status == Status.REFUSED]
    if sum(hole.count for hole in refused) <= FEW:
        return section
    holes = [replace(hole, combinations=[]) if hole in refused else hole for hole in section.holes]
    return replace(section, holes=holes, notes=[*section.notes, COUNTED])


def _notes(filled: pd.DataFrame, labels: pd.Series[str]) -> list[str]:
    """What happened to single seeds, and why a row has no rank; rows with the same note together."""
    lost = [f"{s}: {r}" if s != "ok" else "" for s, r in zip(filled["status"], filled["reason"], strict=True)]
    said = ["; ".join(filter(None, pair)) for pair in zip(lost, filled["note"], strict=True)]
    groups: dict[str, list[str]] = {}
    for note, own in zip(said, labels[filled.index], strict=True):
        groups.setdefault(note, []).append(own)
    named = {n: "every row" if len(own) == len(filled) > 1 else ", ".join(own) for n, own in groups.items()}
    return [f"{names}: {note}" for note, names in named.items() if note]


def caption(section: Section) -> str:
    """What is the same in each row of a section's table.

    >>> caption(Section("digits", {}, constant={"decoder": "bernoulli", "runs": "3 ok"}))
    'decoder bernoulli; each with 3 ok runs'
    """
    same = dict(section.constant)
    runs = same.pop("runs", "")
    parts = [f"{name} {value}" for name, value in same.items() if value]
    return "; ".join(parts + [_each(runs)] if runs else parts)


def _each(runs: str) -> str:
    count = runs.removesuffix(" ok")
    return f"each with {count} ok run{'s' * (count != '1')}" if count.isdigit() else f"each with {runs}"


def how(board: Board) -> list[str]:
    """How the board was made: cells, ranks, what can be told apart; one sentence each."""
    cells = f"Cells are means over seeds ± half the width of the 95% t interval, on the {board.split} split."
    ranks = ["Nothing is ranked."] if board.metric is None else _ranked(board)
    missing = f"The suite's board asks for {', '.join(board.missing)}, which was not measured."
    return [cells, *ranks, *([missing] if board.missing else [])]


def _ranked(board: Board) -> list[str]:
    """What rows are ranked by, when they are told apart, and how far apart that takes."""
    instead = f", as {board.instead_of} was not measured" if board.instead_of else ""
    told = (
        "A row is told apart from the first of the rank above where the 95% interval of their difference, "
        "paired over seeds, leaves out 0, and Welch's test does by Holm's limits, which allow for all "
        f"comparisons of a table (alpha {board.alpha:g})."
    )
    known = {table: value for table, value in board.detectable.items() if value is not None}
    smallest = ", ".join(f"{value:.2g} ({table})" for table, value in known.items())
    needed = f"At this number of seeds the typical pair must differ by {smallest} to be told apart."
    by = board.called(str(board.metric))
    ranks = f"Ranks are by {by}{instead}; rows that cannot be told apart share one."
    return [ranks, told, *([needed] if smallest else [])]
