"""Rate and distortion of each combination: which of them spend nats on z, and what for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.leaderboard import identity, run_table
from lvmbench.plots import panels, style
from lvmbench.render import combination_labels, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKED = 10
"""Combinations beyond this many are grey points without a name."""


def rate_distortion_figure(
    records: pd.DataFrame, measurements: pd.DataFrame, split: str = "test"
) -> Figure | None:
    """Draw distortion against rate, one panel per data set; None where they were not measured.

    Points are means over seeds with one standard deviation of the seeds either way. On each of the thin lines
    -ELBO = R + D is the same. Combinations that differ in the options of their objective only, such as beta, are joined.

    Arguments:
        records: One row per run.
        measurements: Long, one row per figure of a run.
        split: The split whose measurements count.
    """
    runs = run_table(records, measurements, split)
    names = identity(records)
    found = {metric: _first(runs, metric) for metric in ("rate", "distortion")}
    runs = runs[[*names, "key"]].assign(**found).dropna(subset=["rate", "distortion"])
    if runs.empty:
        return None
    points = runs.groupby(names, sort=False)[["rate", "distortion"]].agg(["mean", "std"]).reset_index()
    points.columns = pd.Index(["_".join(filter(None, column)) for column in points.columns])
    with style():
        parts = [(str(dataset), part) for dataset, part in points.groupby("dataset")]
        figure, every = panels([4.2] * len(parts))
        for axes, (dataset, part) in zip(every, parts, strict=True):
            _panel(axes, part, names[1:])
            axes.set_title(dataset, loc="left")
            axes.set_ylabel("distortion (nats)")
        every[-1].set_xlabel(f"rate (nats), {split} split; thin lines: equal -ELBO = R + D")
    return figure


def _first(runs: pd.DataFrame, metric: str) -> pd.Series[float]:
    """A metric of each run by whatever method it was found: exactly for some, from samples for others."""
    names = [name for name in runs.columns if str(name).partition("@")[0].partition("[")[0] == metric]
    missing = runs[[]].assign(missing=np.nan)
    return pd.concat([runs[names], missing], axis=1).bfill(axis=1).iloc[:, 0]


def _panel(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    import seaborn as sns

    short = part.assign(
        **{name: part[name].astype(str).map(shorten(part[name].astype(str))) for name in names}
    )
    part = part.assign(label=combination_labels(short, names), family=_families(part, names))
    total = part["rate_mean"] + part["distortion_mean"]
    palette = [colour for i, colour in enumerate(sns.color_palette("deep", 10)) if i != 7]  # 7 is grey
    colours = dict(zip(part.index[np.argsort(total)[:_MARKED]], palette, strict=False))
    for _, family in part.sort_values("rate_mean").groupby("family"):
        axes.plot(family["rate_mean"], family["distortion_mean"], color="#9a9a9a", linewidth=0.9, zorder=2)
    for index, row in part.iterrows():
        _point(axes, row, colours.get(index))
    _contours(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small")


def _families(part: pd.DataFrame, names: list[str]) -> list[str]:
    """What combinations have in common that differ in the options of their objective only."""
    bare = part[names].astype(str).assign(objective=part["objective"].astype(str).str.partition("[")[0])
    return [" · ".join(row) for row in bare.itertuples(index=False)]


def _point(axes: Axes, row: pd.Series[Any], colour: tuple[float, float, float] | None) -> None:
    axes.errorbar(
        row["rate_mean"],
        row["distortion_mean"],
        xerr=np.nan_to_num(row["rate_std"]),
        yerr=np.nan_to_num(row["distortion_std"]),
        fmt="o",
        markersize=5,
        elinewidth=1.2,
        color=colour or "#9a9a9a",
        label=row["label"] if colour else None,
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
