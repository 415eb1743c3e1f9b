"""The gap between log p(x) and the ELBO of each combination, and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.labels import by_table, short_labels
from lvmbench.results.pictures.board import PALETTE, by_metric, panels, style, width_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.24  # inches for one combination
_PARTS = {"approximation_gap": "approximation gap", "amortization_gap": "amortisation gap", "gap": "gap"}
_COLOURS = dict(zip(_PARTS, (PALETTE[0], PALETTE[1], "#8c8c8c"), strict=True))


def gaps_figure(board: Board) -> Figure | None:
    """A panel of gaps for each table of a board; None where nothing is known of them."""
    parts = [(title, with_gaps(part)) for title, part in by_table(board.frame).items()]
    parts = [(title, part) for title, part in parts if len(part)]
    if not parts:
        return None
    names = [name for _, part in parts for name in short_labels(part, board.names)]
    with style():
        figure, every = panels([_ROW * len(part) + 0.8 for _, part in parts], width_for(names))
        for axes, (title, part) in zip(every, parts, strict=True):
            draw_gaps(axes, part, board.names)
            axes.set_title(title, loc="left")
    return figure


def with_gaps(part: pd.DataFrame) -> pd.DataFrame:
    """The rows of which a gap is known."""
    gaps = pd.DataFrame({metric: by_metric(part, metric) for metric in _PARTS})
    return part[gaps.notna().any(axis=1)]


def draw_gaps(axes: Axes, part: pd.DataFrame, names: Any) -> Axes:
    """Draw log p(x) - ELBO of each row of one table, in two parts where its split is known.

    Arguments:
        axes: What to draw on.
        part: Rows of a board's frame.
        names: The columns that tell its combinations apart.
    """
    values = pd.DataFrame({metric: by_metric(part, metric) for metric in _PARTS})
    split = values[["approximation_gap", "amortization_gap"]].notna().all(axis=1)
    values.loc[split, "gap"] = np.nan
    values.loc[~split, ["approximation_gap", "amortization_gap"]] = np.nan
    start = np.zeros(len(part))
    for metric, words in _PARTS.items():
        width = values[metric].fillna(0.0).to_numpy()
        if width.any():
            axes.barh(range(len(part)), width, 0.62, start, color=_COLOURS[metric], label=words, linewidth=0)
        start += width
    _label(axes, part, names)
    return axes


def _label(axes: Axes, part: pd.DataFrame, names: Any) -> None:
    elbos = by_metric(part, "elbo")
    lines = [
        f"{name} ({elbo:.4g})" if np.isfinite(elbo) else str(name)
        for name, elbo in zip(short_labels(part, names), elbos, strict=True)
    ]
    axes.set_yticks(range(len(part)), lines)
    axes.set_ylim(len(part) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("log p(x) - ELBO (nats); in brackets the ELBO")
    axes.legend(frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)
