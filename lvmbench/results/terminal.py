"""A leaderboard as tables for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from lvmbench.results.markdown import JUDGED, Hole, Section, caption, claim_columns, header, sections
from lvmbench.text import legible

_PADDING = 2  # what a column of a terminal table takes beyond its text


def to_rich(board: pd.DataFrame, width: int = 110, encoding: str = "utf-8") -> list[Table]:
    """Make the tables for a terminal: each data set's board, and what gave no result there.

    Arguments:
        board: As `leaderboard` made it, with its ``attrs``.
        width: Columns of the terminal; figures that do not fit are left out, the last first, and named below.
        encoding: What the terminal can show; other signs are spelled out, and columns are as wide as that needs.
    """
    tables = []
    figures = {legible(header(name, board.attrs), encoding): name for name in board.attrs["headline"]}
    for section in (_spelled(section, encoding) for section in sections(board, short=True)):
        tables += [_rich(section, figures, width)] if section.columns else []
        tables += [_rich_holes(section)] if section.holes else []
    claims = board.attrs.get("claims")
    return [*tables, _rich_claims(_spelled_columns(claim_columns(claims), encoding))] if claims else tables


def _spelled(section: Section, encoding: str) -> Section:
    """The section in signs that an encoding has."""
    holes = [
        Hole(
            hole.status,
            legible(hole.reason, encoding),
            [legible(name, encoding) for name in hole.combinations],
        )
        for hole in section.holes
    ]
    constant = {kind: legible(name, encoding) for kind, name in section.constant.items()}
    notes = [legible(note, encoding) for note in section.notes]
    title = legible(section.dataset, encoding)
    return Section(title, _spelled_columns(section.columns, encoding), constant, holes, notes)


def _spelled_columns(columns: dict[str, list[str]], encoding: str) -> dict[str, list[str]]:
    return {legible(n, encoding): [legible(text, encoding) for text in v] for n, v in columns.items()}


def _rich_claims(columns: dict[str, list[str]]) -> Table:
    table = _table("claims", JUDGED)
    shown = [name for name in columns if name not in ("from", "figure", "range")]
    for name in shown:
        table.add_column(name, justify="left" if name in ("claim", "verdict") else "right", overflow="fold")
    for row in zip(*(columns[name] for name in shown), strict=True):
        table.add_row(*map(Text, row))
    return table


def _rich(section: Section, figures: dict[str, str], width: int) -> Table:
    shown = {n: v if n in figures else [wrapped(text) for text in v] for n, v in section.columns.items()}
    left_out = _too_wide(shown, list(figures), width)
    below = [caption(section), *section.notes]
    below += [f"left out for width: {', '.join(figures[name] for name in left_out)}"] if left_out else []
    columns = {name: values for name, values in shown.items() if name not in left_out}
    table = _table(section.dataset, "\n".join(filter(None, below)))
    for name in columns:
        number = name in figures or name == "rank"
        table.add_column(
            Text(_folded(name)), justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    rows = list(zip(*columns.values(), strict=True))
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(*map(Text, row), end_section=following is not None and following[0] != row[0])
    return table


def _table(title: str, below: str = "") -> Table:
    table = Table(title=Text(title), caption=Text(below), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title_justify, table.title_style = "left", "bold"
    table.caption_justify, table.caption_style = "left", "dim"
    return table


def _folded(header: str) -> str:
    """Break a long header after an underscore or before its variant."""
    return header.replace("[", "\n[").replace("_", "_\n") if len(header) > 14 else header


def wrapped(name: str, width: int = 18) -> str:
    """Break a long name where its options do."""
    lines = [""]
    for piece in re.split(r"(?<=[\[,=])", name):
        lines = [*lines, piece] if len(lines[-1] + piece) > width else [*lines[:-1], lines[-1] + piece]
    return "\n".join(filter(None, lines))


def _too_wide(columns: dict[str, list[str]], figures: Sequence[str], width: int) -> list[str]:
    """The figures that do not fit; the first, by which rows are ranked, always stays."""
    words = [_width(name, values) for name, values in columns.items() if name not in figures]
    ends = list(accumulate((_width(name, columns[name]) for name in figures), initial=sum(words) + 1))[1:]
    return [name for name, end in zip(figures[1:], ends[1:], strict=True) if end > width]


def _width(name: str, values: Iterable[str]) -> int:
    lines = "\n".join([_folded(name), *values]).split("\n")
    return max(map(len, lines)) + _PADDING


def _rich_holes(section: Section) -> Table:
    table = _table(f"{section.dataset}: without a result")
    for name in ("status", "reason", "combinations"):
        table.add_column(name, no_wrap=name == "status", overflow="fold")
    for hole in section.holes:
        table.add_row(Text(hole.status, "yellow"), Text(hole.reason), Text("\n".join(hole.combinations)))
    return table
