"""A leaderboard as html, for notebooks."""

from __future__ import annotations

from html import escape

from lvmbench.results.board import Board
from lvmbench.results.endings import endings
from lvmbench.results.sections import Section, caption, sections


def to_html(board: Board) -> str:
    """Effects; the table of each data set with what is the same in its rows and what is missing;
    claims, published figures.
    """
    return "".join(map(_section, [*board.worth.sections, *sections(board), *endings(board)]))


def _section(section: Section) -> str:
    header = "".join(f"<th>{escape(name)}</th>" for name in section.columns)
    rows = "".join(f"<tr>{_cells(row)}</tr>" for row in zip(*section.columns.values(), strict=True))
    table = f"<thead><tr>{header}</tr></thead><tbody>{rows}</tbody>"
    holes = [
        f"{hole.status}: {', '.join(hole.combinations) or hole.count} ({hole.reason})"
        for hole in section.holes
    ]
    below = "<br>".join(escape(line) for line in (caption(section), *section.notes, *holes) if line)
    return f"<table><caption>{escape(section.title)}</caption>{table}</table><p>{below}</p>"


def _cells(row: tuple[str, ...]) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in row)
