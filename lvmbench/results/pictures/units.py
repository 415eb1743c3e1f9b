"""The KL divergence of each latent unit: how many of them carry anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.labels import short_labels
from lvmbench.results.pictures.board import panels, style, width_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNIT = re.compile(r"kl_per_unit\[\d+(?:,[^\]]*)?\](?:@.*)?")
_ROW = 0.24  # inches for one combination
_MOST = 64
"""The most units that are drawn, the largest first."""


def units_figure(board: Board) -> Figure | None:
    """A panel of units for each data set of a board; None where nothing was measured of them."""
    names, runs = list(board.names), board.runs
    tables = {str(dataset): unit_table(part, names) for dataset, part in runs.groupby("dataset")}
    tables = {dataset: table for dataset, table in tables.items() if not table.empty}
    if not tables:
        return None
    labels = [str(name) for table in tables.values() for name in table.index]
    with style():
        figure, every = panels([_ROW * len(t) + 0.75 for t in tables.values()], width_for(labels))
        for axes, (dataset, table) in zip(every, tables.items(), strict=True):
            draw_units(axes, table)
            axes.set_title(dataset, loc="left")
    return figure


def unit_table(runs: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The KL divergence of the units of each combination, the largest first: the mean over seeds
    of the largest, of the second largest, and so on.

    Arguments:
        runs: One row per run of one data set, with its figures.
        names: The columns that tell combinations apart.
    """
    units = [name for name in runs.columns if _UNIT.fullmatch(str(name))]
    descending = -np.sort(-runs[units].to_numpy(dtype=float), axis=1)[:, :_MOST]  # NaN comes last
    table = pd.DataFrame(descending, index=short_labels(runs, names))
    return table.groupby(level=0, sort=False).mean().dropna(how="all").dropna(axis=1, how="all")


def draw_units(axes: Axes, table: pd.DataFrame) -> Axes:
    """Draw the units of each combination of `unit_table` as a row of cells, the largest divergence first."""
    import seaborn as sns

    bar: dict[str, Any] = {"label": "KL (nats)", "pad": 0.01, "fraction": 0.03}
    sns.heatmap(table, ax=axes, cmap="mako", vmin=0, linewidths=0.6, cbar_kws=bar)
    axes.set(xlabel="units, the largest divergence first", ylabel="")
    axes.set_yticks(np.arange(len(table)) + 0.5, map(str, table.index), rotation=0)
    shown = range(0, table.shape[1], max(table.shape[1] // 16, 1))
    axes.set_xticks([i + 0.5 for i in shown], [str(i + 1) for i in shown], rotation=0)
    axes.tick_params(length=0)
    return axes
