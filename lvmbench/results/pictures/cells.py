"""Tables as cells of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colors import Colormap

DEPTHS = (
    "#0b0405",
    "#2b1c35",
    "#3e356b",
    "#3b5698",
    "#357ba3",
    "#359fab",
    "#4bc2ad",
    "#99ddb6",
    "#def5e5",
)
"""From nearly black through blue to nearly white."""


def draw_cells(
    axes: Axes, table: pd.DataFrame, colours: str | Colormap, ends: tuple[float, float], gap: float
) -> QuadMesh:
    """Draw a table with its first row on top, a cell for each value; what is NaN stays empty.

    Arguments:
        axes: What to draw on.
        table: The values.
        colours: The colours from the smallest to the largest value.
        ends: These values.
        gap: The points between cells.
    """
    values = np.ma.masked_invalid(table.to_numpy(dtype=float))
    low, high = ends
    cells = axes.pcolormesh(values, cmap=colours, vmin=low, vmax=high, linewidths=gap, edgecolor="white")
    axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0))
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return cells
