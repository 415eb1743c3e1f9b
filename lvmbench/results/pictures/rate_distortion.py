"""Rate and distortion of each combination: which of them spend nats on z, and what for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.labels import short_labels
from lvmbench.results.pictures.board import PALETTE, by_metric, panels, style, width_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKS = "osD^vP"
_LINE = 0.17  # inches for one name


def rate_distortion_figure(board: Board) -> Figure | None:
    """Draw distortion against rate, one panel per data set; None where they were not measured.

    Points are means over seeds with one standard deviation of the seeds either way. On each of the thin lines
    -ELBO = R + D is the same. Combinations that differ in the options of their objective only, such as beta,
    are joined.
    """
    names = ["dataset", *board.names]
    values = {metric: by_metric(board.runs, metric) for metric in ("rate", "distortion")}
    runs = board.runs[[*names, "key"]].assign(**values).dropna(subset=["rate", "distortion"])
    if runs.empty:
        return None
    points = runs.groupby(names, sort=False)[["rate", "distortion"]].agg(["mean", "std"]).reset_index()
    points.columns = pd.Index(["_".join(filter(None, column)) for column in points.columns])
    with style():
        parts = [(str(dataset), _named(part, names[1:])) for dataset, part in points.groupby("dataset")]
        heights = [max(4.2, _LINE * len(part) + 0.4) for _, part in parts]
        figure, every = panels(heights, width_for(label for _, part in parts for label in part["label"]))
        for axes, (dataset, part) in zip(every, parts, strict=True):
            _panel(axes, part)
            axes.set_title(dataset, loc="left")
            axes.set_ylabel("distortion (nats)")
        every[-1].set_xlabel(f"rate (nats), {board.split} split; thin lines: equal -ELBO = R + D")
    return figure


def _panel(axes: Axes, part: pd.DataFrame) -> None:
    """One data set; the names stand in the order of -ELBO, the smallest first."""
    part = part.iloc[np.argsort(part["rate_mean"] + part["distortion_mean"], kind="stable")]
    for _, family in part.sort_values("rate_mean").groupby("family"):
        axes.plot(family["rate_mean"], family["distortion_mean"], color="#9a9a9a", linewidth=0.9, zorder=2)
    points = [_point(axes, row, place) for place, (_, row) in enumerate(part.iterrows())]
    _contours(axes)
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03)}
    axes.legend(points, part["label"].tolist(), frameon=False, fontsize="small", **place)


def _named(part: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The combinations of one data set with what each is called, and the family that it belongs to."""
    bare = part[names].astype(str).assign(objective=part["objective"].astype(str).str.partition("[")[0])
    families = [" · ".join(row) for row in bare.itertuples(index=False)]
    return part.assign(label=short_labels(part, names), family=families)


def _point(axes: Axes, row: pd.Series[Any], place: int) -> Any:
    """Draw a combination with its spread over seeds; what stands for it."""
    return axes.errorbar(
        row["rate_mean"],
        row["distortion_mean"],
        xerr=np.nan_to_num(row["rate_std"]),
        yerr=np.nan_to_num(row["distortion_std"]),
        fmt=_MARKS[place // len(PALETTE) % len(_MARKS)],
        markersize=5,
        elinewidth=1.2,
        color=PALETTE[place % len(PALETTE)],
        zorder=3,
    )


def _contours(axes: Axes) -> None:
    """Lines of equal -ELBO, each named where it leaves the frame."""
    from matplotlib.ticker import MaxNLocator

    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for total in MaxNLocator(6).tick_values(left + bottom, right + top):
        axes.plot([left, right], [total - left, total - right], color="#c8c8c8", linewidth=0.7, zorder=1)
        x = min(right, total - bottom)
        if left < x and total - x < top:
            place: dict[str, Any] = {"fontsize": "x-small", "color": "#8a8a8a", "ha": "right", "va": "bottom"}
            axes.text(x, total - x, f"{total:g}", **place)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
