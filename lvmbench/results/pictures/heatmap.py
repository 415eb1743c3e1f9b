"""A figure of a board by two of its axes, as colours and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.results.pictures.board import FENCE, style
from lvmbench.results.pivot import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK, _LIGHT, _HOLE = "#1b1b1b", "#fdfdfd", "#868686"
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
    import seaborn as sns

    colours = "viridis_r" if better == "lower" else "viridis"
    low, high = ends or colour_ends([block])
    look: dict[str, Any] = {"cmap": colours, "cbar": False, "linewidths": 1.5, "annot_kws": {"fontsize": 8}}
    sns.heatmap(
        block.means, annot=_broken(block.texts), fmt="", vmin=low, vmax=high, ax=axes, square=False, **look
    )
    for text in axes.texts:  # colours of their own, as the page gives those of other texts a dark form
        text.set_color(_DARK if text.get_color() == ".15" else _LIGHT)
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


def _broken(texts: pd.DataFrame) -> pd.DataFrame:
    """A mean above its interval."""
    return texts.map(lambda text: str(text).replace(" ± ", "\n± "))


def _holes(axes: Axes, block: Block) -> None:
    """What became of the combinations without a figure."""
    place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": _HOLE}
    for i, j in zip(*np.nonzero(block.means.isna().to_numpy()), strict=True):
        axes.text(j + 0.5, i + 0.5, str(block.texts.iloc[i, j]), style="italic", **place)


def _names(axes: Axes, block: Block) -> None:
    """What rows and columns are called."""
    axes.set(xlabel="", ylabel="")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_yticklabels(map(str, block.means.index), rotation=0)
    turned: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticklabels(map(str, block.means.columns), **(turned if _turned(block) else {"rotation": 0}))
    axes.set_title(block.rest, loc="left", fontsize=9)
