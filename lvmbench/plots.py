"""Figures of a leaderboard and of learning curves, each on its own Figure and never on pyplot's state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lvmbench.leaderboard import identity, label, run_table
from lvmbench.render import combination_labels, shorten

Array = npt.NDArray[np.float64]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.24  # inches for one combination
_FENCE = 3.0  # means this many interquartile ranges beyond the quartiles are outside the frame
_FIRST, _OTHER, _GREY = "#1f5fa8", "#4d4d4d", "#9a9a9a"


def style() -> ExitStack:
    """Seaborn's style and fixed identifiers inside, whatever the user's own settings are."""
    import matplotlib as mpl
    import seaborn as sns

    stack = ExitStack()
    stack.enter_context(mpl.rc_context())
    mpl.rcdefaults()
    sns.set_theme(context="paper", style="whitegrid", font="DejaVu Sans")  # the font that matplotlib brings
    mpl.rcParams.update({"svg.hashsalt": "lvmbench", "axes.titleweight": "bold", "grid.color": "#e4e4e4"})
    return stack


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix; the same figure gives the same bytes."""
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with style():
        figure.savefig(path, bbox_inches="tight", dpi=150, metadata=dated.get(path.suffix))


def leaderboard_figure(
    board: pd.DataFrame, records: pd.DataFrame, measurements: pd.DataFrame
) -> Figure | None:
    """Draw the ranking metric of each combination, one panel per data set; None where nothing was measured.

    Points are means over seeds with their 95% interval, faint dots are single seeds, numbers are ranks.

    Arguments:
        board: As `leaderboard` made it from the same records and measurements, with its ``attrs``.
        records: One row per run.
        measurements: Long, one row per figure of a run.
    """
    metric = board.attrs["metric"]
    rows = board[board[metric].notna()] if metric else board.iloc[:0]
    if rows.empty:
        return None
    runs = run_table(records, measurements, board.attrs["split"])
    counts = rows["dataset"].value_counts(sort=False).sort_index()
    with style():
        figure, every = panels([_ROW * n + 0.55 for n in counts])
        for axes, (dataset, part) in zip(every, rows.groupby("dataset"), strict=True):
            own = runs[(runs["dataset"] == dataset) & runs[metric].notna()]
            _panel(axes, part, own, board.attrs)
            axes.set_title(str(dataset), loc="left")
        every[-1].set_xlabel(_axis_label(board.attrs))
    return figure


def panels(heights: Sequence[float], width: float = 8.0) -> tuple[Figure, list[Axes]]:
    """A figure of panels on top of each other, of these heights in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=list(heights))
    return figure, [figure.add_subplot(grid[i, 0]) for i in range(len(heights))]


def _axis_label(attrs: dict[Any, Any]) -> str:
    figure = attrs["figures"][attrs["metric"]]
    unit = f" ({figure['unit']})" if figure["unit"] else ""
    better = f"; {figure['better']} is better" if figure["better"] != "neither" else ""
    return f"{attrs['metric']}{unit}, {attrs['split']} split{better}"


def _panel(axes: Axes, part: pd.DataFrame, runs: pd.DataFrame, attrs: dict[Any, Any]) -> None:
    """One data set: the best combination on top."""
    metric, names = attrs["metric"], attrs["identity"][1:]
    position = {label(row): i for i, row in enumerate(part[names].itertuples(index=False))}
    mean, low, high = (part[metric + end].to_numpy(dtype=float) for end in ("", "_low", "_high"))
    seeds, row = runs[metric].to_numpy(dtype=float), runs["label"].map(position).to_numpy(dtype=int)
    frame = _frame(mean, seeds, row, np.stack([low, high]))
    axes.set_xlim(*frame)
    axes.set_ylim(len(part) - 0.5, -0.5)
    _points(axes, mean, low, high, [rank == 1 for rank in part["rank"].fillna(0)], frame)
    axes.plot(seeds, row + 0.27, "o", color=_GREY, alpha=0.7, markersize=2.6, zorder=2, markeredgewidth=0)
    _label_rows(axes, part, names)


def _label_rows(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    short = part.assign(
        **{name: part[name].astype(str).map(shorten(part[name].astype(str))) for name in names}
    )
    ranks = ["–" if pd.isna(rank) else str(rank) for rank in part["rank"]]
    lines = [
        f"{text}   {rank:>2}" for text, rank in zip(combination_labels(short, names), ranks, strict=True)
    ]
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
    """The limits that show each seed, and intervals where they fit, of the rows near the bulk of the means."""
    lower, upper = np.quantile(mean, [0.25, 0.75])
    reach = _FENCE * (upper - lower)
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


def curves(frame: pd.DataFrame, records: pd.DataFrame) -> Figure | None:
    """Draw learning curves, one panel per data set and one line per combination: the mean over seeds.

    A run that stopped early keeps its last value in the mean. Solid lines are the validation bound, faint
    dashed ones the training bound. The combinations that end best are in colour, the others grey. None where
    there is no curve.

    Arguments:
        frame: One row per run and epoch: ``key, epoch, train_bound, validation_bound``.
        records: One row per run, which name the combinations.
    """
    bounds = frame[["key", "epoch", "train_bound", "validation_bound"]]
    frame = bounds.merge(records[["key", *identity(records)]], on="key")
    if frame.empty:
        return None
    with style():
        parts = [(str(dataset), part) for dataset, part in frame.groupby("dataset")]
        figure, every = panels([3.2] * len(parts))
        for axes, (dataset, part) in zip(every, parts, strict=True):
            _curve_panel(axes, part, identity(records)[1:])
            axes.set_title(dataset, loc="left")
            axes.set_ylabel("bound (nats)")
        every[-1].set_xlabel("epoch; solid: validation, dashed: training")
    return figure


def _curve_panel(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    import seaborn as sns

    short = part.assign(
        **{name: part[name].astype(str).map(shorten(part[name].astype(str))) for name in names}
    )
    lines = part.assign(line=combination_labels(short, names))
    means = pd.concat(
        {line: _mean_curve(own) for line, own in lines.groupby("line")}, names=["line", "epoch"]
    )
    order = means["validation_bound"].groupby("line").last().sort_values(ascending=False).index
    palette = [colour for i, colour in enumerate(sns.color_palette("deep", 10)) if i != 7]  # 7 is grey
    colours = dict(zip(order, palette, strict=False))
    for line in reversed(order):
        _curve(axes, means.loc[line], colours.get(line), str(line))
    hidden = _frame_curves(axes, means)
    _legend(axes, len(order) - len(colours), hidden)


def _mean_curve(runs: pd.DataFrame) -> pd.DataFrame:
    """The mean over runs at each epoch; a run that stopped earlier than the others keeps its last value."""
    bounds = ["train_bound", "validation_bound"]
    return pd.DataFrame(
        {name: runs.pivot(index="epoch", columns="key", values=name).ffill().mean(axis=1) for name in bounds}
    )


def _legend(axes: Axes, others: int, hidden: int) -> None:
    handles, texts = (list(reversed(part)) for part in axes.get_legend_handles_labels())
    if others:
        out = f" ({hidden} below the frame)" if hidden else ""
        handles += axes.plot([], [], color=_GREY, linewidth=0.9)
        texts.append(f"{others} other{'s' * (others > 1)}{out}")
    axes.legend(
        handles, texts, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small"
    )


def _curve(axes: Axes, mean: pd.DataFrame, colour: tuple[float, float, float] | None, name: str) -> None:
    if colour is None:
        axes.plot(mean.index, mean["validation_bound"], color=_GREY, linewidth=0.7, zorder=2)
        return
    axes.plot(mean.index, mean["validation_bound"], color=colour, linewidth=1.5, zorder=3, label=name)
    axes.plot(
        mean.index, mean["train_bound"], color=colour, linewidth=1.2, alpha=0.45, linestyle="--", zorder=3
    )


def _frame_curves(axes: Axes, means: pd.DataFrame) -> int:
    """Cut off the first climb and what ends far below, so that ends can be told apart; how many end below."""
    shown = means.to_numpy()
    top, bottom = float(np.nanmax(shown)), float(np.nanmin(shown))
    final = means["validation_bound"].groupby("line").last().to_numpy()
    lower, upper = np.quantile(final, [0.25, 0.75])
    worst = float(final[final >= lower - _FENCE * (upper - lower)].min())
    low = max(bottom, worst - (top - worst))
    margin = 0.05 * (top - low) or 1.0
    axes.set_ylim(low - margin, top + margin)
    return int((final < low - margin).sum())
