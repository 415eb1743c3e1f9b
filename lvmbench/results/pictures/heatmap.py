"""A figure of a board by two of its axes, as colours and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lvmbench.results.pictures.board import FENCE, style
from lvmbench.results.pictures.cells import draw_cells
from lvmbench.results.pivot import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.floating[Any]]
_DARK, _LIGHT, _HOLE = "#1b1b1b", "#fdfdfd", "#868686"
_BRIGHT = 0.408
"""The luminance from which on a cell is light."""
_CENTRED: Mapping[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
_CELL = (1.25, 0.46)
"""The inches of a cell, across and down."""


def heatmap_figure(block: Block, better: str, ends: tuple[float, float] | None = None) -> Figure:
    """A figure of `draw_heatmap`, as large as the cells and the names of a block need."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=_size(block))
        draw_heatmap(figure.add_subplot(), block, better, ends)
    return figure


def _size(block: Block) -> tuple[float, float]:
    rows, columns = block.means.shape
    names = max(len(str(name)) for name in block.means.index)
    width = max(_CELL[0] * columns + 0.075 * names + 0.3, 0.085 * len(block.rest))
    return width, _CELL[1] * rows + (1.1 if _turned(block) else 0.6)


def _turned(block: Block) -> bool:
    """Whether the names of columns stand at an angle."""
    return max(len(str(name)) for name in block.means.columns) > 14


def draw_heatmap(
    axes: Axes, block: Block, better: str = "neither", ends: tuple[float, float] | None = None
) -> Axes:
    """Draw a block of a pivot: lighter is better, and a combination without a figure says why.

    Arguments:
        axes: What to draw on.
        block: Means and texts by two axes.
        better: Which values are better, ``higher``, ``lower`` or ``neither``.
        ends: The values between which colours change; by default those of the block, as `colour_ends` has it.
    """
    colours = "viridis_r" if better == "lower" else "viridis"
    cells = draw_cells(axes, block.means, colours, ends or colour_ends([block]), gap=1.5)
    _texts(axes, block, cells.to_rgba(block.means.to_numpy(dtype=float)))
    _holes(axes, block)
    _names(axes, block)
    return axes


def colour_ends(blocks: Sequence[Block]) -> tuple[float, float]:
    """The smallest and the largest value of some blocks, but for outliers."""
    values = np.concatenate([block.means.to_numpy(dtype=float).ravel() for block in blocks])
    values = values[np.isfinite(values)]
    lower, upper = np.quantile(values, [0.25, 0.75])
    reach = FENCE * (upper - lower) or np.inf
    inside = values[(values >= lower - reach) & (values <= upper + reach)]
    return float(inside.min()), float(inside.max())


def _texts(axes: Axes, block: Block, colours: Array) -> None:
    """Each mean above its interval, dark on a light cell and light on a dark one."""
    for i, j in zip(*np.nonzero(block.means.notna().to_numpy()), strict=True):
        colour = _DARK if _luminance(colours[i, j, :3]) > _BRIGHT else _LIGHT
        text = str(block.texts.iloc[i, j]).replace(" ± ", "\n± ")
        axes.text(j + 0.5, i + 0.5, text, color=colour, **_CENTRED)


def _luminance(colour: Array) -> float:
    """How bright a colour of red, green and blue is, as the eye weighs them (WCAG 2, relative luminance)."""
    linear = np.where(colour <= 0.03928, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _holes(axes: Axes, block: Block) -> None:
    """What became of the combinations without a figure."""
    for i, j in zip(*np.nonzero(block.means.isna().to_numpy()), strict=True):
        axes.text(j + 0.5, i + 0.5, str(block.texts.iloc[i, j]), style="italic", color=_HOLE, **_CENTRED)


def _names(axes: Axes, block: Block) -> None:
    """What rows and columns are called."""
    rows, columns = (np.arange(n) + 0.5 for n in block.means.shape)
    axes.set_yticks(rows, map(str, block.means.index))
    turned: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(columns, map(str, block.means.columns), **(turned if _turned(block) else {}))
    axes.set_title(block.rest, loc="left", fontsize=9)
