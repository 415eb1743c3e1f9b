"""One choice against another, on each data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.results.labels import table_name
from lvmbench.results.pictures.effects import COLOURS, OPEN

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_comparison(axes: Axes, found: pd.DataFrame) -> Axes:
    """Draw the difference of one figure on each table with its interval, and how probable it is that it is
    better, equal and worse; the band is what counts as equal.

    Arguments:
        axes: What to draw on.
        found: Rows of one figure of `Compared.frame`.
    """
    for i, row in enumerate(found.to_dict("records")):
        colour = COLOURS.get(str(row["verdict"]), OPEN)
        within = float(row["equal_within"])
        axes.barh(i, 2 * within, 0.7, -within, color=OPEN, alpha=0.2, linewidth=0, zorder=1)
        if np.isfinite(row["low"]):
            axes.plot([row["low"], row["high"]], [i, i], color=colour, linewidth=2, zorder=2)
        axes.plot(
            [row["difference"]], [i], "o", color=colour, markersize=5.5, markeredgecolor="white", zorder=3
        )
    axes.axvline(0, color="#4d4d4d", linewidth=0.9, zorder=1)
    axes.set_yticks(range(len(found)), [_line(row) for row in found.to_dict("records")])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def _line(row: Mapping[Any, Any]) -> str:
    """The table, and the three probabilities where they are known."""
    name = table_name(str(row["dataset"]), str(row["scale"]))
    known = [(word, row[word]) for word in ("better", "equal", "worse") if not pd.isna(row[word])]
    return "\n".join([name, ", ".join(f"{word} {share:.0%}" for word, share in known)]).rstrip()
