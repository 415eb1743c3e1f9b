"""One choice against another: the difference on each data set, beside what counts as equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvmbench.results.labels import table_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lvmbench.results.compare import Compared

_COLOURS = {"better": "#2f8f5b", "higher": "#2f8f5b", "worse": "#c44e52", "lower": "#c44e52"}
_OPEN = "#8c8c8c"


def draw_comparison(axes: Axes, found: Compared) -> Axes:
    """Draw the figure that leads a comparison: a row for each table, with its interval, the region that
    counts as equal, and how probable each outcome is.
    """
    rows = found.frame[found.frame["figure"] == found.board.metric].reset_index(drop=True)
    region = float(rows["equal_within"].iloc[0])
    axes.axvspan(-region, region, color="#e6e6e6", zorder=0)
    axes.axvline(0, color="#4d4d4d", linewidth=0.9, zorder=1)
    spans = rows[["low", "difference", "high"]].astype(float).to_numpy()
    for i, ((low, centre, high), verdict) in enumerate(zip(spans, rows["verdict"], strict=True)):
        colour = _COLOURS.get(str(verdict), _OPEN)
        if np.isfinite(low):
            axes.plot([low, high], [i, i], color=colour, linewidth=2, zorder=2)
        axes.plot([centre], [i], "o", color=colour, markersize=6, zorder=3)
    names = zip(rows["dataset"], rows["scale"], rows["verdict"], strict=True)
    axes.set_yticks(range(len(rows)), [f"{table_name(*place)}\n{verdict}" for *place, verdict in names])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    unit = f" ({rows['unit'].iloc[0]})" if rows["unit"].iloc[0] else ""
    axes.set_xlabel(
        f"difference in {found.board.called(str(found.board.metric))}{unit}; grey: equal in practice"
    )
    axes.set_title(f"{found.a} against {found.b}", loc="left")
    return axes
