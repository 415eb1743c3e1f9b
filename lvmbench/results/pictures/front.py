"""Quality against time: what each combination reached, and how long its training took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.front import fronts
from lvmbench.results.labels import by_table
from lvmbench.results.pictures.board import FENCE, PALETTE, panels, style, width_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.17  # inches for one name
_GREY = "#9a9a9a"
_SPANS_DECADES = 3.0  # times as long as the quickest: then the axis of time is logarithmic


def front_figure(board: Board) -> Figure | None:
    """Draw what ranks against the seconds of training, one panel per table; None where none has two rows.

    Points are means over seeds with their 95% intervals. The line is the Pareto front: no row is both as good
    and as quick as those on it, which are named, the quickest first. Others are grey.
    """
    found = fronts(board)
    if found.empty:
        return None
    metric = str(board.metric)
    low, high = (board.frame.loc[found.index, metric + end] for end in ("_low", "_high"))
    found = found.assign(name=board.row_names[found.index], low=low, high=high)
    parts = by_table(found)
    with style():
        heights = [max(3.0, _LINE * int(_kept(part).sum()) + 0.6) for part in parts.values()]
        figure, every = panels(heights, width_for(found.loc[_kept(found), "name"]))
        for axes, (title, part) in zip(every, parts.items(), strict=True):
            _panel(axes, part)
            axes.set_title(title, loc="left")
            axes.set_ylabel(f"{board.called(metric)} ({board.figures[metric].unit})")
        every[-1].set_xlabel("seconds of training")
    return figure


def _kept(part: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are on the front."""
    return part["dominated_by"] == ""


def _panel(axes: Axes, part: pd.DataFrame) -> None:
    """One table."""
    kept = part[_kept(part)]
    for row in part[~_kept(part)].itertuples():
        _point(axes, row, _GREY)
    points = [_point(axes, row, PALETTE[i % len(PALETTE)]) for i, row in enumerate(kept.itertuples())]
    axes.plot(kept["seconds"], kept["value"], drawstyle="steps-post", color=_GREY, linewidth=1.0, zorder=1)
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03)}
    axes.legend(points, kept["name"].tolist(), frameon=False, fontsize="small", **place)
    axes.set_ylim(*_limits(part, kept))
    axes.ticklabel_format(axis="y", useOffset=False)
    _time(axes, part["seconds"])


def _point(axes: Axes, row: Any, colour: str) -> Any:
    """A mean with its interval, where there is one; what stands for it."""
    axes.plot([row.seconds] * 2, [row.low, row.high], color=colour, linewidth=1.0, alpha=0.6, zorder=2)
    return axes.plot([row.seconds], [row.value], "o", color=colour, markersize=5, zorder=3)[0]


def _limits(part: pd.DataFrame, kept: pd.DataFrame) -> tuple[float, float]:
    """What shows the front with its intervals, and of the others those near the bulk of the means."""
    lower, upper = part["value"].quantile([0.25, 0.75])
    reach = FENCE * (upper - lower)
    near = part["value"][part["value"].between(lower - reach, upper + reach)]
    shown = pd.concat([near, *(kept[name].dropna() for name in ("value", "low", "high"))])
    margin = 0.06 * (shown.max() - shown.min()) or max(abs(shown.max()), 1.0) * 0.05
    return float(shown.min() - margin), float(shown.max() + margin)


def _time(axes: Axes, seconds: pd.Series[float]) -> None:
    """The axis of time, with numbers as they are spoken."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not seconds.min() > 0 or seconds.max() < _SPANS_DECADES * seconds.min():
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
