"""A leaderboard as tables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lvmbench.results.board import Board
from lvmbench.results.endings import endings
from lvmbench.results.sections import Section, caption, sections
from lvmbench.results.tables import plain_text
from lvmbench.text import legible, wrapped

_LEFT_OUT = ("from", "figure", "range", "note")
_ARROW = 4  # the most signs of an arrow, spelled out
_PADDING = 2  # what a column of a terminal table takes beyond its text


@plain_text()
def to_rich(board: Board, width: int = 110, encoding: str = "utf-8", *, refused: bool = False) -> list[Table]:
    """Make the tables for a terminal: effects, each data set's board, what gave no result there,
    claims, published figures.

    Arguments:
        board: The board.
        width: Columns of the terminal; figures that do not fit are left out, the last first, and named below.
        encoding: What the terminal can show; other signs are spelled out, and columns are as wide as that
            needs.
        refused: Whether to name the combinations that were refused, and not only to count them.
    """
    tables = to_tables(board.worth.sections, encoding)
    figures = {legible(board.header(name), encoding): board.called(name) for name in board.headline}
    for section in (_spelled(found, encoding) for found in sections(board, short=True, refused=refused)):
        tables += [_rich(section, figures, width)] if section.columns else []
        tables += [_rich_holes(section)] if section.holes else []
    return [*tables, *(_rich_summary(_spelled(section, encoding)) for section in endings(board))]


def _spelled(section: Section, encoding: str) -> Section:
    """The section in signs that an encoding has."""

    def spelled(texts: Iterable[str]) -> list[str]:
        return [legible(text, encoding) for text in texts]

    return Section(
        legible(section.title, encoding),
        dict(zip(spelled(section.columns), map(spelled, section.columns.values()), strict=True)),
        spelled(section.numbers),
        dict(zip(section.constant, spelled(section.constant.values()), strict=True)),
        [
            replace(h, reason=legible(h.reason, encoding), combinations=spelled(h.combinations))
            for h in section.holes
        ],
        spelled(section.notes),
    )


def _rich_summary(section: Section) -> Table:
    """Claims or published figures, without what makes a line too long for a terminal."""
    return _plain(replace(section, title=section.title.lower()))


def to_tables(sections: Iterable[Section], encoding: str = "utf-8") -> list[Table]:
    """Sections as they are, each a table for a terminal that can show such an encoding."""
    return [_plain(_spelled(section, encoding)) for section in sections]


def _plain(section: Section) -> Table:
    table = _table(section.title, " ".join(section.notes))
    shown = {name: texts for name, texts in section.columns.items() if name not in _LEFT_OUT}
    for name in shown:
        justify: Any = "right" if name in section.numbers else "left"
        table.add_column(Text(wrapped(name)), justify=justify, overflow="fold")
    for row in zip(*shown.values(), strict=True):
        table.add_row(*(Text(text if " " in text else wrapped(text)) for text in row))
    return table


def _rich(section: Section, figures: dict[str, str], width: int) -> Table:
    shown = {n: v if n in figures else [wrapped(text) for text in v] for n, v in section.columns.items()}
    left_out = _too_wide(shown, list(figures), width)
    below = [caption(section), *section.notes]
    below += [f"left out for width: {', '.join(figures[name] for name in left_out)}"] if left_out else []
    columns = {name: values for name, values in shown.items() if name not in left_out}
    table = _table(section.title, "\n".join(filter(None, below)))
    for name in columns:
        number = name in section.numbers
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
    """Break a long header between words, its arrow with the last of them."""
    head, _, arrow = header.rpartition(" ")
    whole = f"{head}\u00a0{arrow}" if head and len(arrow) <= _ARROW else header
    folded = textwrap.fill(whole, 13, break_long_words=False, break_on_hyphens=False)
    return folded.replace("\u00a0", " ")


def _too_wide(columns: dict[str, list[str]], figures: Sequence[str], width: int) -> list[str]:
    """The figures that do not fit; the first, by which rows are ranked, always stays."""
    words = [_width(name, values) for name, values in columns.items() if name not in figures]
    ends = list(accumulate((_width(name, columns[name]) for name in figures), initial=sum(words) + 1))[1:]
    return [name for name, end in zip(figures[1:], ends[1:], strict=True) if end > width]


def _width(name: str, values: Iterable[str]) -> int:
    lines = "\n".join([_folded(name), *values]).split("\n")
    return max(map(len, lines)) + _PADDING


def _rich_holes(section: Section) -> Table:
    table = _table(f"{section.title}: without a result")
    for name in ("status", "reason", "combinations"):
        table.add_column(name, no_wrap=name == "status", overflow="fold")
    for hole in section.holes:
        which = "\n".join(hole.combinations) or str(hole.count)
        table.add_row(Text(hole.status, "yellow"), Text(hole.reason), Text(which))
    return table
