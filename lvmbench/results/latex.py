"""Tables of a leaderboard for LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from lvmbench.results.sections import Section

_SIGNS = {
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "–": "--",
    "·": r"$\cdot$",
    "…": r"\dots{}",
}


def to_latex(sections: Iterable[Section]) -> str:
    """A table for each section, with the rules of the package booktabs."""
    return "\n".join(map(_table, sections))


def _table(section: Section) -> str:
    frame = pd.DataFrame(section.columns)
    aligned = "".join("r" if name in section.numbers else "l" for name in frame.columns)
    text = frame.style.format(escape="latex").format_index(escape="latex", axis=1).hide(axis="index")
    caption = _escaped(section.title)
    made = str(text.to_latex(column_format=aligned, hrules=True, caption=caption, position_float="centering"))
    for sign, command in _SIGNS.items():
        made = made.replace(sign, command)
    return made


def _escaped(text: str) -> str:
    """Text as LaTeX takes it, by way of a table of one cell: pandas escapes nothing else."""
    lone = pd.DataFrame([text]).style.format(escape="latex").hide(axis=0).hide(axis=1)
    return str(lone.to_latex()).split("\n")[1].removesuffix(r" \\")
