"""A leaderboard as markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lvmbench.results.answer import answer
from lvmbench.results.board import Board
from lvmbench.results.endings import endings
from lvmbench.results.sections import Hole, Section, caption, how, sections
from lvmbench.text import printable

_MARKUP = re.compile(r"[\\|`*$~]|(?<![^\W_])_|_(?![^\W_])|\](?=\()")  # what markdown would not show
_AMPERSAND = re.compile(r"&(?=#?\w+;)")


def to_markdown(board: Board, *, refused: bool = False) -> str:
    """A board for a reader: what it comes to, effects, a table per data set, what gave no result, claims,
    published figures, how it was made.

    With ``refused`` the combinations that were refused are named, and otherwise counted.
    """
    short = "\n".join(f"- {escaped(str(found))}" for found in answer(board))
    parts = [f"# {escaped(board.title)}", f"## In short\n\n{short}", *map(_summary, board.worth.sections)]
    parts += [*map(_section, sections(board, refused=refused)), *map(_summary, endings(board))]
    counts = ", ".join(f"{n} {status}" for status, n in board.counts.items())
    made = [*how(board), f"Runs: {len(board.records)} ({counts})."]
    parts.append("## How to read this\n\n" + "\n".join(f"- {escaped(line)}" for line in made))
    return "\n\n".join(parts) + "\n"


def _summary(section: Section) -> str:
    """A section whose notes are read on end."""
    notes = [escaped(" ".join(section.notes))] if section.notes else []
    return "\n\n".join([f"## {escaped(section.title)}", _grid(section), *notes])


def sections_to_markdown(found: Iterable[Section]) -> str:
    """Sections as they are, each a table below its title."""
    return "\n\n".join(map(_section, found)) + "\n"


def _section(section: Section) -> str:
    parts = [f"## {escaped(section.title)}"]
    if section.columns:
        parts += [escaped(text) + "." for text in [caption(section)] if text]
        parts.append(_grid(section))
    parts += ["\n".join(f"- {escaped(note)}" for note in section.notes)] if section.notes else []
    parts += ["### Without a result\n\n" + "\n".join(map(_hole, section.holes))] if section.holes else []
    return "\n\n".join(parts)


def _grid(section: Section) -> str:
    ruler = ["--:" if name in section.numbers else ":--" for name in section.columns]
    rows = [list(section.columns), ruler, *zip(*section.columns.values(), strict=True)]
    return "\n".join("| " + " | ".join(escaped(text) for text in row) + " |" for row in rows)


def _hole(hole: Hole) -> str:
    why = f": {hole.reason}" if hole.reason else ""
    inner = [f"  - {escaped(name)}" for name in hole.combinations]
    return "\n".join([f"- **{escaped(hole.status)}** ({hole.count}){escaped(why)}", *inner])


def escaped(text: str) -> str:
    r"""Keep text on one line and inside its cell, and show it as it is written.

    >>> print(escaped("price_$ a_b `x` *y* p(z|x) <b> &lt; [1](2) _c"))
    price\_\$ a_b \`x\` \*y\* p(z\|x) &lt;b> &amp;lt; [1\](2) \_c
    """
    text = printable(" ".join(text.split()))
    return _AMPERSAND.sub("&amp;", _MARKUP.sub(r"\\\g<0>", text)).replace("<", "&lt;")
