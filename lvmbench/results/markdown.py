"""A leaderboard as markdown, as csv and as json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from lvmbench.results.board import label, table_name
from lvmbench.text import printable

_ARROWS = {"higher": " ↑", "lower": " ↓"}
_CLAIM_HEADS = {"claim": "claim", "source": "from", "figure": "figure"}
_MARKUP = re.compile(r"[\\|`*$~]|(?<![^\W_])_|_(?![^\W_])|\](?=\()")  # what markdown would not show
_AMPERSAND = re.compile(r"&(?=#?\w+;)")
JUDGED = (
    "An order is called by the 95% interval of the difference, paired over seeds, each claim by itself; an agreement by every "
    "run, whose smallest and largest difference are given."
)
IMPROVING = "their best epoch is among the last 5% of those they trained, and patience had not stopped them"
SCALES = (
    "ranked among themselves only: a density is not held against a probability, nor the bound of one objective "
    "against that of another"
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
    """Combinations that have no result on a data set, for the same reason."""

    status: str
    reason: str
    combinations: list[str]


@dataclass(frozen=True)
class Section:
    """One table as text, of a data set's rows that are ranked together: columns by header, what is the same in each row, and
    what is missing; ``dataset`` is its title."""

    dataset: str
    columns: dict[str, list[str]]
    constant: dict[str, str]
    holes: list[Hole]
    notes: list[str]


def shorten(names: Iterable[str]) -> dict[str, str]:
    """For each name: itself without its options, where no other name of that component needs telling apart.

    >>> shorten(["vamp[components=50]", "iaf[flows=2]", "iaf[flows=4]"])
    {'vamp[components=50]': 'vamp', 'iaf[flows=2]': 'iaf[flows=2]', 'iaf[flows=4]': 'iaf[flows=4]'}
    """
    full = list(dict.fromkeys(names))
    heads = [name.partition("[")[0] for name in full]
    return {name: head if heads.count(head) == 1 else name for name, head in zip(full, heads, strict=True)}


def sections(board: pd.DataFrame, *, short: bool = False) -> list[Section]:
    """Lay out a board as `leaderboard` made it, with its ``attrs``: one section for each data set.

    Arguments:
        board: The board.
        short: Whether to `shorten` names; a note then gives them in full.
    """
    tables = [_dataset(str(dataset), part, board.attrs, short) for dataset, part in board.groupby("dataset")]
    laid = [section for table in tables for section in table]
    return [*laid[:-1], replace(laid[-1], notes=laid[-1].notes + _left_out(board.attrs))]


def _dataset(dataset: str, part: pd.DataFrame, attrs: dict[Any, Any], short: bool) -> list[Section]:
    """A section for each scale, the last of which says what gave no result."""
    measured = part[part["seeds"] > 0]
    scales = list(dict.fromkeys(measured["scale"])) or [""]
    rows = [measured[measured["scale"] == scale] for scale in scales]
    rows[-1] = pd.concat([rows[-1], part[part["seeds"] == 0]])
    found = [_section(table_name(dataset, s), own, attrs, short) for s, own in zip(scales, rows, strict=True)]
    found[-1].notes[:0] = attrs.get("remarks", {}).get(dataset, ())
    for section in found if len(scales) > 1 else ():
        section.notes.append(SCALES)
    return found


def _section(title: str, part: pd.DataFrame, attrs: dict[Any, Any], short: bool) -> Section:
    names = attrs["identity"][1:]
    part = part.assign(**{name: part[name].astype(str) for name in names}, runs=_runs(part))
    full = [value for name in names for value in part[name]]
    if short:
        part = part.assign(**{name: part[name].map(shorten(part[name])) for name in names})
    filled, empty = part[part["seeds"] > 0], part[part["seeds"] == 0]
    constant = {name: str(filled[name].iloc[0]) for name in [*names, "runs"] if _same(filled, name)}
    left = {name: filled[name].tolist() for name in names if name not in constant}
    ranks = {"rank": ["–" if pd.isna(r) else str(r) for r in filled["rank"]]} if attrs["metric"] else {}
    figures = {header(name, attrs): _cells(filled, name) for name in attrs["headline"]}
    runs = {} if "runs" in constant else {"runs": filled["runs"].tolist()}
    columns = {**ranks, **left, **figures, **runs} if len(filled) else {}
    labels = combination_labels(part, names)
    notes = _notes(filled, labels) + _legend(full, [value for name in names for value in part[name]])
    return Section(title, columns, constant, _holes(empty, labels), notes + _improving(filled))


def _improving(filled: pd.DataFrame) -> list[str]:
    """How many runs were not trained to an end."""
    known = filled[filled["improving"].notna()]
    runs, still = int(known["seeds"].sum()), int(known["improving"].sum())
    return [f"{still} of {runs} runs ended while still improving: {IMPROVING}"] if still else []


def _left_out(attrs: dict[Any, Any]) -> list[str]:
    """What the results hold and the board does not show."""
    runs, evaluators = attrs["unasked"]["runs"], attrs["unasked"]["evaluators"]
    said = [
        f"{runs} run{'s' * (runs != 1)} of combinations that the suite no longer has are kept and not shown"
    ]
    figures = [
        f"figures of evaluators that the suite no longer has are kept and not shown: {', '.join(evaluators)}"
    ]
    return said * bool(runs) + figures * bool(evaluators)


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


def combination_labels(part: pd.DataFrame, names: Sequence[str]) -> pd.Series[str]:
    """A line for each row of one data set, of the components that differ between rows; indexed as the rows.

    >>> rows = pd.DataFrame({"prior": ["vamp", "vamp"], "posterior": ["iaf", "exact"]})
    >>> combination_labels(rows, ["prior", "posterior"]).tolist()
    ['iaf', 'exact']
    """
    differing = [name for name in names if part[name].nunique(dropna=False) > 1] or list(names)
    return pd.Series(
        [label(row) for row in part[differing].itertuples(index=False)], index=part.index, dtype=str
    )


def header(name: str, attrs: dict[Any, Any]) -> str:
    return name.replace("[importance]", "") + _ARROWS.get(attrs["figures"][name]["better"], "")


def _cells(part: pd.DataFrame, name: str) -> list[str]:
    return [cell(*row) for row in part[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)]


def _holes(empty: pd.DataFrame, labels: pd.Series[str]) -> list[Hole]:
    groups = empty.groupby(["status", "reason"])
    return [Hole(str(s), str(reason), labels[part.index].tolist()) for (s, reason), part in groups]


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

    >>> caption(Section("digits", {}, {"decoder": "bernoulli", "runs": "3 ok"}, [], []))
    'decoder bernoulli; each with 3 ok runs'
    """
    same = dict(section.constant)
    runs = same.pop("runs", "")
    parts = [f"{name} {value}" for name, value in same.items() if value]
    return "; ".join(parts + [_each(runs)] if runs else parts)


def _each(runs: str) -> str:
    count = runs.removesuffix(" ok")
    return f"each with {count} ok run{'s' * (count != '1')}" if count.isdigit() else f"each with {runs}"


def how(board: pd.DataFrame) -> list[str]:
    """How the board was made: cells, ranks, what can be called, units; one sentence each."""
    attrs = board.attrs
    cells = (
        f"Cells are means over seeds ± half the width of the 95% t interval, on the {attrs['split']} split."
    )
    if attrs["metric"] is None:
        return [cells, "Nothing is ranked.", *_units(attrs)]
    detectable = {table: v for table, v in attrs["detectable"].items() if v is not None}
    smallest = ", ".join(f"{value:.2g} ({table})" for table, value in detectable.items())
    needed = f"At this number of seeds the typical pair must differ by {smallest} to be told apart."
    told = (
        "A row is told apart from the first of the rank above where the 95% interval of their difference, paired over seeds, "
        "leaves out 0, and Welch's test does by Holm's limits, which allow for all comparisons of a table "
        f"(alpha {attrs['alpha']:g})."
    )
    return [
        cells,
        f"Ranks are by {attrs['metric']}{_instead(attrs)}; rows that cannot be told apart share one.",
        told,
        *([needed] if smallest else []),
        *_units(attrs),
    ]


def _instead(attrs: dict[Any, Any]) -> str:
    return f", as {attrs['instead_of']} was not measured" if "instead_of" in attrs else ""


def _units(attrs: dict[Any, Any]) -> list[str]:
    units: dict[str, list[str]] = {}
    for name in attrs["headline"]:
        units.setdefault(attrs["figures"][name]["unit"], []).append(name)
    units.pop("", None)
    said = "; ".join(f"{', '.join(names)} in {unit}" for unit, names in units.items())
    return [f"Units: {said}."] if said else []


def to_markdown(board: pd.DataFrame, records: pd.DataFrame) -> str:
    """Write a board for a reader: a table per data set, what gave no result and why, and how it was made.

    Arguments:
        board: As `leaderboard` made it, with its ``attrs``.
        records: One row per run; they name the suite, and their statuses are counted.
    """
    parts = [f"# {_escape(_title(records))}", *(_markdown(section) for section in sections(board))]
    if claims := board.attrs.get("claims"):
        parts.append(f"## Claims\n\n{_grid(claim_columns(claims))}\n\n{JUDGED}")
    counts = ", ".join(f"{n} {status}" for status, n in _status_counts(records))
    made = [*how(board), f"Runs: {len(records)} ({counts})."]
    parts.append("## How to read this\n\n" + "\n".join(f"- {_escape(line)}" for line in made))
    return "\n\n".join(parts) + "\n"


def claim_columns(claims: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """What became of each claim, as text by column."""

    def number(value: float | None) -> str:
        return "–" if value is None or pd.isna(value) else f"{value:.4g}"

    ranges = [f"{number(c['low'])} … {number(c['high'])}" for c in claims]
    text = {head: [str(c[name]) for c in claims] for name, head in _CLAIM_HEADS.items()}
    return {**text, "difference": [number(c["value"]) for c in claims], "range": ranges} | {
        "n": [str(c["n"]) for c in claims],
        "verdict": [str(c["verdict"]) for c in claims],
    }


def _title(records: pd.DataFrame) -> str:
    suites = records[["suite", "suite_version"]].drop_duplicates().itertuples(index=False)
    return "Leaderboard: " + ", ".join(f"{suite} (version {version})" for suite, version in suites)


def _status_counts(records: pd.DataFrame) -> list[tuple[str, int]]:
    counts = records["status"].value_counts()
    return sorted(((str(s), int(n)) for s, n in counts.items()), key=lambda pair: (pair[0] != "ok", pair[0]))


def _markdown(section: Section) -> str:
    parts = [f"## {_escape(section.dataset)}"]
    if section.columns:
        parts += [_escape(text) + "." for text in [caption(section)] if text]
        parts.append(_grid(section.columns))
    parts += ["\n".join(f"- {_escape(note)}" for note in section.notes)] if section.notes else []
    parts += ["### Without a result\n\n" + "\n".join(map(_hole, section.holes))] if section.holes else []
    return "\n\n".join(parts)


def _grid(columns: dict[str, list[str]]) -> str:
    words = {
        "claim",
        "from",
        "figure",
        "verdict",
        "prior",
        "posterior",
        "decoder",
        "objective",
        "estimator",
        "suite",
        "runs",
    }
    ruler = [":--" if name in words else "--:" for name in columns]
    rows = [list(columns), ruler, *zip(*columns.values(), strict=True)]
    return "\n".join("| " + " | ".join(_escape(text) for text in row) + " |" for row in rows)


def _hole(hole: Hole) -> str:
    why = f": {hole.reason}" if hole.reason else ""
    inner = "\n".join(f"  - {_escape(name)}" for name in hole.combinations)
    return f"- **{_escape(hole.status)}** ({len(hole.combinations)}){_escape(why)}\n{inner}"


def _escape(text: str) -> str:
    r"""Keep text on one line and inside its cell, and show it as it is written.

    >>> print(_escape("price_$ a_b `x` *y* p(z|x) <b> &lt; [1](2) _c"))
    price\_\$ a_b \`x\` \*y\* p(z\|x) &lt;b> &amp;lt; [1\](2) \_c
    """
    text = printable(" ".join(text.split()))
    return _AMPERSAND.sub("&amp;", _MARKUP.sub(r"\\\g<0>", text)).replace("<", "&lt;")


def to_csv(board: pd.DataFrame) -> str:
    """Every figure of a board; the same board gives the same bytes, and floats read back exactly."""
    return board.to_csv(index=False, lineterminator="\n")


def to_json(board: pd.DataFrame) -> str:
    """A board as an array with one object per row; what is missing is null."""
    rows = board.astype(object).where(board.notna(), None).to_dict("records")
    return (
        json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False, default=lambda value: value.item())
        + "\n"
    )
