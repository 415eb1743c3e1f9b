"""Tables of a report: what a cell shows, what it is sorted by, and where it leads."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lvmbench.kinds import PARTS
from lvmbench.results.board import Board
from lvmbench.results.report.anchors import component_anchor
from lvmbench.results.sections import Hole, Section, caption, sections

MOST_CELLS = 20_000
"""A table of more cells shows the figures of the leaderboard alone."""
_FIRST_NUMBER = re.compile(r"-?\d[\d.]*(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Cell:
    """The text of a cell, what it is sorted by in a column of numbers, and the anchor that it leads to."""

    text: str
    order: str | None = None
    anchor: str = ""


@dataclass(frozen=True)
class Head:
    """The head of a column; ``more`` says that it is shown on request only."""

    text: str
    number: bool = False
    more: bool = False


@dataclass(frozen=True)
class Grid:
    """A table that can be sorted and filtered.

    Arguments:
        title: What it is of.
        heads: One for each column.
        rows: The cells of each row.
        caption: What is the same in each row.
        notes: What to know of it, one sentence each.
        holes: What is missing.
        still: Whether it is to be read as it stands, and neither sorted nor copied.
    """

    title: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    notes: Sequence[str] = ()
    holes: Sequence[Hole] = ()
    still: bool = False

    @property
    def wide(self) -> bool:
        """Whether paper is to be turned for it."""
        return sum(not head.more for head in self.heads) > 7

    @property
    def large(self) -> bool:
        """Whether it is worth searching and turning pages."""
        return len(self.rows) > 5


def board_grids(board: Board, anchors: Mapping[int, str]) -> list[Grid]:
    """The tables of a board with all of its figures; the usual ones come first.

    Arguments:
        board: The board.
        anchors: Where the combination of a row of the board's frame is shown.
    """
    others = [name for name in board.figures if name not in board.headline]
    if len(board.frame) * len(others) > MOST_CELLS:
        others = []
    # with titles that tell all of them apart, as any of them may be chosen to be shown
    full = replace(board, headline=[*board.headline, *others], titles={}) if others else board
    more = {full.header(name) for name in others}
    return [_board_grid(board, section, more, anchors) for section in sections(full, refused=True)]


def _board_grid(board: Board, section: Section, more: set[str], anchors: Mapping[int, str]) -> Grid:
    constant = {name: text for name, text in section.constant.items() if name != "runs"}
    columns = dict(section.columns)
    if section.index:
        columns["runs"] = columns.get("runs") or [section.constant.get("runs", "")] * len(section.index)
    own = replace(section, columns=columns, constant=constant)
    leads = {name: _component_anchors(board, name, section.index) for name in columns if name in PARTS}
    leads["runs"] = [anchors.get(row, "") for row in section.index]
    return grid(own, more, leads)


def _component_anchors(board: Board, kind: str, rows: Sequence[int]) -> list[str]:
    return [component_anchor(kind, str(name)) for name in board.frame.loc[list(rows), kind]]


def grid(
    section: Section, more: Collection[str] = (), leads: Mapping[str, Sequence[str]] | None = None
) -> Grid:
    """A section as a table.

    Arguments:
        section: Its texts.
        more: The headers of columns that are shown on request only.
        leads: By header, the anchor that the cell of each row leads to.
    """
    heads = [Head(text, text in section.numbers, text in more) for text in section.columns]
    anchors = leads or {}
    columns = [
        _cells(head, texts, anchors.get(head.text))
        for head, texts in zip(heads, section.columns.values(), strict=True)
    ]
    rows = list(zip(*columns, strict=True))
    return Grid(section.title, heads, rows, caption(section), section.notes, section.holes)


def _cells(head: Head, texts: Sequence[str], anchors: Sequence[str] | None) -> list[Cell]:
    orders = [number_of(text) if head.number else None for text in texts]
    return [Cell(*cell) for cell in zip(texts, orders, anchors or [""] * len(texts), strict=True)]


def number_of(text: str) -> str:
    """The first number of a text.

    >>> number_of("-17.98 ± 0.60"), number_of("3 of 4"), number_of("–")
    ('-17.98', '3', '')
    """
    found = _FIRST_NUMBER.search(text)
    return found[0] if found else ""
