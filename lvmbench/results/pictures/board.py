"""The figure of a leaderboard, and what all figures share:
each is its own Figure and never on pyplot's state.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.labels import by_table, labels, short_labels
from lvmbench.results.tables import write

Array = npt.NDArray[np.float64]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.24  # inches for one combination
FENCE = 3.0  # means this many interquartile ranges beyond the quartiles are outside the frame
PALETTE = (
    "#4c72b0",
    "#dd8452",
    "#55a868",
    "#c44e52",
    "#8172b3",
    "#937860",
    "#da8bc3",
    "#3f3f3f",
    "#b5a642",
    "#4fb0c6",
)
_FIRST, _OTHER, _GREY = "#1f5fa8", "#4d4d4d", "#9a9a9a"


def get_ready_to_draw() -> None:
    """Import what drawing takes, about a second, so that it is not waited for when there is something to."""
    for name in ("seaborn", "matplotlib.figure", "matplotlib.backends.backend_svg"):
        importlib.import_module(name)


def style() -> ExitStack:
    """Seaborn's style, fixed identifiers and text as written inside, whatever the user's own settings are.

    Text in svg files is text: signs that matplotlib's font lacks, and scripts that it cannot set, are the
    viewer's to draw.
    """
    import matplotlib as mpl
    import seaborn as sns

    stack = ExitStack()
    stack.enter_context(mpl.rc_context())
    mpl.rcdefaults()
    sns.set_theme(context="paper", style="whitegrid", font="DejaVu Sans")  # the font that matplotlib brings
    mpl.rcParams.update({"svg.hashsalt": "lvmbench", "axes.titleweight": "bold", "grid.color": "#e4e4e4"})
    mpl.rcParams.update({"text.parse_math": False, "svg.fonttype": "none"})  # names are shown as written
    stack.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)  # a viewer has others
    return stack


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix, whole or not at all; the same gives the same bytes."""
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    drawn = io.BytesIO()
    how: dict[str, Any] = {"format": path.suffix[1:], "metadata": dated.get(path.suffix)}
    with style():
        figure.savefig(drawn, bbox_inches="tight", dpi=150, **how)
    write(path, drawn.getvalue())


def leaderboard_figure(board: Board) -> Figure | None:
    """Draw the ranking metric of each combination, one panel per table; None where nothing is ranked.

    Points are means over seeds with their 95% interval, faint dots are single seeds, numbers are ranks.
    """
    metric = board.metric
    rows = board.frame[board.frame[metric].notna()] if metric else board.frame.iloc[:0]
    if metric is None or rows.empty:
        return None
    tables = by_table(rows)
    heights = [_ROW * len(part) + 0.55 for part in tables.values()]
    with style():
        figure, every = panels(heights, width_for(_rows(rows, board.names)))
        for axes, (title, part) in zip(every, tables.items(), strict=True):
            _panel(axes, part, _seeds(board.runs, part, metric), metric, board.names)
            axes.set_title(title, loc="left")
        every[-1].set_xlabel(board.axis(metric))
    return figure


def draw_ranking(axes: Axes, board: Board, rows: pd.DataFrame) -> Axes:
    """Draw the figure that ranks, of rows of one table of a board, as `leaderboard_figure` does."""
    metric = str(board.metric)
    measured = rows[rows[metric].notna()]
    _panel(axes, measured, _seeds(board.runs, measured, metric), metric, board.names)
    axes.set_xlabel(board.axis(metric))
    return axes


def panels(heights: Sequence[float], width: float = 8.0) -> tuple[Figure, list[Axes]]:
    """A figure of panels on top of each other, of these heights in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=list(heights))
    return figure, [figure.add_subplot(grid[i, 0]) for i in range(len(heights))]


def width_for(names: Iterable[str]) -> float:
    """The inches that a figure needs where these names stand beside its panels."""
    return 5.2 + 0.075 * max(map(len, names), default=0)


def by_metric(rows: pd.DataFrame, metric: str) -> pd.Series[float]:
    """A metric of each row by whatever method it was found: exactly for some, from samples for others."""
    names = [name for name in rows.columns if str(name).partition("@")[0].partition("[")[0] == metric]
    missing = rows[[]].assign(missing=np.nan)
    return pd.concat([rows[names], missing], axis=1).bfill(axis=1).iloc[:, 0]


def _seeds(runs: pd.DataFrame, part: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The runs of a table that have the metric."""
    own: pd.Series[bool] = runs["dataset"] == part["dataset"].iloc[0]
    return runs[own & runs[metric].notna()]


def _panel(axes: Axes, part: pd.DataFrame, runs: pd.DataFrame, metric: str, names: Sequence[str]) -> None:
    """One data set: the best combination on top."""
    position = {text: i for i, text in enumerate(labels(part, names))}
    runs = runs[runs["label"].isin(position)]
    mean, low, high = (part[metric + end].to_numpy(dtype=float) for end in ("", "_low", "_high"))
    seeds, row = runs[metric].to_numpy(dtype=float), runs["label"].map(position).to_numpy(dtype=int)
    frame = _frame(mean, seeds, row, np.stack([low, high]))
    axes.set_xlim(*frame)
    axes.set_ylim(len(part) - 0.5, -0.5)
    _points(axes, mean, low, high, [rank == 1 for rank in part["rank"].fillna(0)], frame)
    axes.plot(seeds, row + 0.27, "o", color=_GREY, alpha=0.7, markersize=2.6, zorder=2, markeredgewidth=0)
    _label_rows(axes, part, names)


def _rows(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The names of all rows of the figure."""
    return [text for _, part in rows.groupby("dataset") for text in short_labels(part, names)]


def _label_rows(axes: Axes, part: pd.DataFrame, names: Sequence[str]) -> None:
    ranks = ["–" if pd.isna(rank) else str(rank) for rank in part["rank"]]
    lines = [f"{text}   {rank:>2}" for text, rank in zip(short_labels(part, names), ranks, strict=True)]
    axes.set_yticks(range(len(part)), lines)
    place: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": "small", "color": _GREY}
    axes.annotate("rank", (-0.008, 1.0), xycoords="axes fraction", **place)
    axes.grid(axis="y", visible=False)
    for i in np.flatnonzero(np.array(ranks[1:]) != np.array(ranks[:-1])):
        axes.axhline(float(i) + 0.5, color="#d0d0d0", linewidth=0.8, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _frame(
    mean: Array, seeds: Array, row: npt.NDArray[np.integer[Any]], intervals: Array
) -> tuple[float, float]:
    """The limits that show each seed, and intervals where they fit,
    of the rows near the bulk of the means.
    """
    lower, upper = np.quantile(mean, [0.25, 0.75])
    reach = FENCE * (upper - lower)
    fence = (lower - reach, upper + reach) if reach > 0 else (-np.inf, np.inf)
    shown = (mean >= fence[0]) & (mean <= fence[1])
    ends = intervals[:, shown]
    inside = np.concatenate([seeds[shown[row]], ends[(ends >= fence[0]) & (ends <= fence[1])]])
    low, high = float(inside.min()), float(inside.max())
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.05
    room = [3 * margin if out.any() else margin for out in (mean < fence[0], mean > fence[1])]
    return low - room[0], high + room[1]


def _points(
    axes: Axes, mean: Array, low: Array, high: Array, leading: list[bool], frame: tuple[float, float]
) -> None:
    """Means with intervals; an arrow and the number where a mean is outside the frame."""
    dot: dict[str, Any] = {"marker": "o", "markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.6}
    for i, (centre, start, end, first) in enumerate(zip(mean, low, high, leading, strict=True)):
        colour = _FIRST if first else _OTHER
        if not frame[0] <= centre <= frame[1]:
            _outside(axes, i, centre, right=centre > frame[1])
            continue
        if np.isfinite(start):
            _interval(axes, i, (start, end), frame, colour)
        axes.plot([centre], [i], color=colour, zorder=4, **dot)


def _interval(
    axes: Axes, row: int, span: tuple[float, float], frame: tuple[float, float], colour: str
) -> None:
    """A line, with an arrow head where it goes on beyond the frame."""
    axes.plot(span, [row, row], color=colour, linewidth=1.6, solid_capstyle="round", zorder=3)
    for edge, head, cut in ((frame[0], "<", span[0] < frame[0]), (frame[1], ">", span[1] > frame[1])):
        if cut:
            axes.plot([edge], [row], marker=head, color=colour, markersize=4, clip_on=False, zorder=5)


def _outside(axes: Axes, row: int, value: float, *, right: bool) -> None:
    text, x, align = (f"{value:.4g} ▸", 0.995, "right") if right else (f"◂ {value:.4g}", 0.005, "left")
    place = axes.get_yaxis_transform()
    axes.text(x, row, text, ha=align, va="center", fontsize="small", color=_OTHER, transform=place)
