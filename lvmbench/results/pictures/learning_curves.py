"""Learning curves: the bound of each combination over epochs, bounds of different objectives apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.labels import short_labels
from lvmbench.results.pictures.board import FENCE, PALETTE, panels, style, width_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BOUNDS = ["train_bound", "validation_bound"]
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1)), (0, (5, 1, 1.2, 1)), (0, (8, 1, 3, 1)))
_WITH_TRAINING = len(PALETTE)  # lines; in panels of more, those of training would hide the others
_LINE = 0.17  # inches for one combination


def curves_figure(frame: pd.DataFrame, board: Board, *, seeds: bool = False) -> Figure | None:
    """Draw learning curves, one panel per data set and objective, one line per combination:
    the mean over seeds.

    Bounds of different objectives are different quantities, so each has a panel of its own. A run that
    stopped early keeps its last value in the mean. Thick lines are the validation bound, thin ones of the
    same colour the training bound, in panels of few combinations. Names stand in the order in which the lines
    end.

    Arguments:
        frame: ``key, epoch, train_bound, validation_bound``, as the store gives it.
        board: The board of these runs.
        seeds: Whether to draw the validation bound of each run too, in panels of few combinations.
    """
    names = [name for name in board.names if name != "objective"]
    frame = frame[["key", "epoch", *_BOUNDS]].merge(_lines(board.runs, names), on="key")
    if frame.empty:
        return None
    parts = [(f"{dataset}: {objective}", part) for (dataset, objective), part in _panels(frame)]
    heights = [max(_LINE * part["line"].nunique() + 0.45, 1.9) for _, part in parts]
    with style():
        figure, every = panels(heights, width_for(frame["line"]))
        for axes, (title, part) in zip(every, parts, strict=True):
            _panel(axes, part, seeds)
            axes.set_title(title, loc="left")
            axes.set_ylabel("bound (nats)")
        hairs = ", hairlines: single runs" if seeds else ""
        every[-1].set_xlabel(f"epoch; thick: validation, thin: training{hairs}")
    return figure


def _lines(runs: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The key of each run with its data set, its objective and what its line is called."""
    parts = []
    for _, part in runs.groupby("dataset"):
        parts.append(part[["key", "dataset", "objective"]].assign(line=short_labels(part, names)))
    return pd.concat(parts)


def _panels(frame: pd.DataFrame) -> Any:
    """The parts of one panel each, in the order of the data sets and, within one, of the records."""
    return frame.groupby(["dataset", "objective"], sort=False)


def _panel(axes: Axes, part: pd.DataFrame, seeds: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    means = pd.concat({line: _mean_curve(own) for line, own in part.groupby("line")}, names=["line", "epoch"])
    ends = means["validation_bound"].groupby("line").last().sort_values(ascending=False)
    floor = _frame(axes, means, ends)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    handles = [_curve(axes, means.loc[line], i, len(ends)) for i, line in enumerate(ends.index)]
    for line, handle in (
        zip(ends.index, handles, strict=True) if seeds and len(ends) <= _WITH_TRAINING else ()
    ):
        _runs(axes, part[part["line"] == line], handle.get_color())
    texts = [f"{line}  (ends at {end:.4g})" if end < floor else str(line) for line, end in ends.items()]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03), "handlelength": 3.4}
    axes.legend(handles, texts, frameon=False, fontsize="small", **place)


def _mean_curve(runs: pd.DataFrame) -> pd.DataFrame:
    """The mean over runs at each epoch; a run that stopped earlier than the others keeps its last value."""
    return pd.DataFrame(
        {name: runs.pivot(index="epoch", columns="key", values=name).ffill().mean(axis=1) for name in _BOUNDS}
    )


def _curve(axes: Axes, mean: pd.DataFrame, place: int, lines: int) -> Any:
    """Draw the combination that ends at this place; the line that stands for it."""
    look: dict[str, Any] = {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": _DASHES[place // len(PALETTE) % len(_DASHES)],
    }
    few = lines <= _WITH_TRAINING
    if few:
        axes.plot(mean.index, mean["train_bound"], **look, linewidth=0.8, alpha=0.5, zorder=2)
    look |= {"linewidth": 1.6 if few else 1.1, "zorder": 4 - place / lines}
    (line,) = axes.plot(mean.index, mean["validation_bound"], **look)
    return line


def _runs(axes: Axes, runs: pd.DataFrame, colour: str) -> None:
    """Draw the validation bound of each run of a combination."""
    for _, own in runs.groupby("key"):
        axes.plot(own["epoch"], own["validation_bound"], color=colour, linewidth=0.4, alpha=0.6, zorder=3)


def _frame(axes: Axes, means: pd.DataFrame, ends: pd.Series[float]) -> float:
    """Cut off the first quarter's climb and what ends far below, so that ends can be told apart; the lower
    limit.
    """
    top, bottom = float(np.nanmax(means.to_numpy())), float(np.nanmin(means.to_numpy()))
    lower, upper = ends.quantile([0.25, 0.75])
    shown = ends[ends >= lower - FENCE * (upper - lower)]
    worst = float(shown.min())
    curves = means["validation_bound"].unstack("line")[shown.index]
    early = float(curves.iloc[len(curves) // 4].min())
    low = max(bottom, min(early, worst - (top - worst)))
    margin = 0.05 * (top - low) or 1.0
    axes.set_ylim(low - margin, top + margin)
    return low - margin
