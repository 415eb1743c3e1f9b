"""What exchanging a part is worth: each setting against the first of its axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvmbench.results.pictures.board import panels, style, width_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.26  # inches for one setting
_COLOURS = {"better": "#2f8f5b", "worse": "#c44e52"}
_OPEN = "#8c8c8c"


def draw_effects(axes: Axes, found: pd.DataFrame, metric: str = "") -> Axes:
    """Draw the effects of one table, each with its interval: a row for each setting of an axis.

    Arguments:
        axes: What to draw on.
        found: Rows of `effects`.
        metric: What the differences are of.
    """
    place = range(len(found))
    colours = [_COLOURS.get(str(verdict), _OPEN) for verdict in found["verdict"]]
    axes.axvline(0, color="#4d4d4d", linewidth=0.9, zorder=1)
    spans = found[["low", "high"]].astype(float).to_numpy()
    for i, (centre, (low, high), colour) in enumerate(zip(found["difference"], spans, colours, strict=True)):
        if np.isfinite(low):
            axes.plot([low, high], [i, i], color=colour, linewidth=2, solid_capstyle="round", zorder=2)
        axes.plot([centre], [i], "o", color=colour, markersize=5.5, markeredgecolor="white", zorder=3)
    axes.set_yticks(place, [_line(*row) for row in found[["axis", "setting", "against"]].to_numpy()])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"difference in {metric}" if metric else "difference")
    return axes


def effects_figure(tables: dict[str, pd.DataFrame], metric: str, better: str) -> Figure:
    """A panel for each table of effects; green is better and red is worse, where it can be told."""
    names = [
        _line(*row) for table in tables.values() for row in table[["axis", "setting", "against"]].to_numpy()
    ]
    with style():
        figure, every = panels([_ROW * len(table) + 0.55 for table in tables.values()], width_for(names))
        for axes, (title, table) in zip(every, tables.items(), strict=True):
            draw_effects(axes, table, metric)
            axes.set_title(title, loc="left")
        side = {"higher": "right", "lower": "left"}.get(better)
        every[-1].set_xlabel(f"difference in {metric}" + (f"; further {side} is better" if side else ""))
    return figure


def _line(axis: str, setting: str, against: str) -> str:
    return f"{axis} {setting} vs {against}"
