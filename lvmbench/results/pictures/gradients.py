"""The noise of gradient estimators against the number of samples K."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from lvmbench.results.pictures.board import PALETTE, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAME = re.compile(
    r"(gradient_variance|gradient_snr)\[(.+)/(prior|posterior|decoder)/K=(\d+)(?:,[^\]]*)?\](?:@.*)?"
)
_TITLES = {"gradient_variance": "variance", "gradient_snr": "signal-to-noise ratio"}


def gradient_table(row: pd.Series[Any]) -> pd.DataFrame:
    """What a row of a board has of gradients with K samples:
    metric, estimator, part, samples and value, one row each.
    """
    row = row[[name for name in row.index if str(name).startswith(tuple(_TITLES))]]
    found = ((_NAME.fullmatch(str(name)), value) for name, value in row.items())
    rows = [(*match.groups(), value) for match, value in found if match and pd.notna(value)]
    table = pd.DataFrame(rows, columns=["metric", "estimator", "part", "samples", "value"])
    return table.astype({"samples": int, "value": float})


def draw_gradients(axes: Axes, table: pd.DataFrame) -> Axes:
    """Draw one figure of the gradients of one part: a line for each estimator, both axes logarithmic.

    Arguments:
        axes: What to draw on.
        table: Rows of `gradient_table` of one metric and part.
    """
    from matplotlib.ticker import LogLocator

    for i, (estimator, own) in enumerate(table.groupby("estimator", sort=False)):
        own = own.sort_values("samples")
        look: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "marker": "o", "markersize": 3.5}
        axes.plot(own["samples"], own["value"], label=str(estimator), linewidth=1.4, **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xticks(sorted(table["samples"].unique()), map(str, sorted(table["samples"].unique())))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def gradients_figure(table: pd.DataFrame) -> Figure | None:
    """Variance above, signal-to-noise ratio below, the parts side by side; None for fewer than two K."""
    from matplotlib.figure import Figure

    if table["samples"].nunique() < 2:
        return None
    metrics = [metric for metric in _TITLES if (table["metric"] == metric).any()]
    parts = list(dict.fromkeys(table["part"]))
    with style():
        figure = Figure(figsize=(2.6 * len(parts) + 1.4, 2.2 * len(metrics) + 0.4), layout="constrained")
        grid = figure.subplots(len(metrics), len(parts), sharex=True, squeeze=False)
        for line, metric in zip(grid, metrics, strict=True):
            for axes, part in zip(line, parts, strict=True):
                draw_gradients(axes, table[(table["metric"] == metric) & (table["part"] == part)])
                axes.set_title(f"{_TITLES[metric]}, {part}", loc="left")
        for axes in grid[-1]:
            axes.set_xlabel("samples K")
        handles, names = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize="small")
    return figure
