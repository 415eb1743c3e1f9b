"""The chapters of a report that follow from a board: answer, effects, maps, tables, what gave no result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import pandas as pd
from markupsafe import Markup

from lvmbench.results.board import Board
from lvmbench.results.effects import effects
from lvmbench.results.endings import claims_section, effects_section, references_section
from lvmbench.results.labels import table_name
from lvmbench.results.pictures.board import short_labels
from lvmbench.results.pictures.effects import effects_figure
from lvmbench.results.pictures.heatmap import colour_ends, heatmap_figure
from lvmbench.results.pivot import Pivot
from lvmbench.results.report.grid import Cell, Grid, Head, board_grids, grid
from lvmbench.results.report.page import Chapter, Fold, Picture, Prose
from lvmbench.results.report.svg import inline
from lvmbench.results.sections import cell, how, sections

MOST_BLOCKS = 12
"""So many blocks of a pivot are drawn; the command line has the others."""
MOST_FIGURES = 6
"""So many figures of a board have heat maps."""


def answer(board: Board, ranking: Picture | None = None) -> Chapter:
    """What ranks first on each data set, how sure that is, what parts are worth, and a picture of it."""
    if board.metric is None or board.frame[board.metric].isna().all():
        return Chapter("answer", "In short", [Prose(_nothing(board), leading=True)])
    tables = board.frame[board.frame["rank"].notna()].groupby(["dataset", "scale"])
    leading = [_leader(board, table_name(*map(str, table)), rows) for table, rows in tables]
    rest = [Prose(list(_worth(board))), ranking]
    return Chapter("answer", "In short", [Prose(leading, leading=True), *(part for part in rest if part)])


def _nothing(board: Board) -> list[str]:
    """What to say of a board that ranks nothing."""
    ok = board.counts.get("ok", 0)
    if not ok:
        endings = ", ".join(f"{n} {status}" for status, n in board.counts.items())
        return [f"No run gave a result ({endings}), so there is nothing to compare; the reasons are below."]
    return [f"{ok} runs gave a result, and this board ranks by none of their figures."]


def _leader(board: Board, table: str, rows: pd.DataFrame) -> str:
    metric, names = str(board.metric), short_labels(rows, board.names)
    first, *others = [names[row] for row in rows.index[rows["rank"] == 1]]
    best = rows.iloc[0]
    value = cell(*(float(best[metric + end]) for end in ("", "_low", "_high")))
    unit = f" {board.figures[metric].unit}".rstrip()
    found = f"{table}: {first} has the best {metric}, {value}{unit}, over {best['seeds']} seeds"
    if not others:
        return (
            f"{found}, and can be told apart from the {len(rows) - 1} others."
            if len(rows) > 1
            else f"{found}."
        )
    alike = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
    return f"{found}. Not told apart from it: {alike}."


def _worth(board: Board) -> Iterator[str]:
    """What is known of the worth of settings, where that can be told."""
    found = effects(board)
    told = found[found["verdict"].isin(["better", "worse"])]
    for row in told.to_dict("records"):
        value = cell(*(float(row[end]) for end in ("difference", "low", "high")))
        where = table_name(str(row["dataset"]), str(row["scale"]))
        words = f"{row['axis']} {row['setting']} is {row['verdict']} than {row['against']} on {where}"
        yield f"{words}: {value} in {board.metric}, over {row['pairs']} pairs."


def worth(board: Board) -> Chapter:
    """What exchanging each part is worth, everything else being equal."""
    section, found = effects_section(board), effects(board)
    if section is None or board.metric is None:
        return Chapter("effects", "What each part is worth")
    tables = {table_name(*map(str, place)): part for place, part in found.groupby(["dataset", "scale"])}
    drawn = effects_figure(tables, board.metric, board.figures[board.metric].better)
    picture = Picture("", inline(drawn, "effects", "effects of exchanging each part, with intervals"))
    return Chapter("effects", "What each part is worth", [picture, grid(section)])


def heatmaps(board: Board) -> Chapter:
    """The figures with a direction, each by two axes of the grid and a map for each choice of the others."""
    axes = _axes(board)
    if axes is None:
        return Chapter("maps", "Maps")
    directed = [name for name in board.headline if board.figures[name].better != "neither"][:MOST_FIGURES]
    drawn = [part for i, figure in enumerate(directed) for part in _maps(board, axes, figure, f"map{i}")]
    first, rest = drawn[:1], drawn[1:]
    folded = [Fold("the same of other figures", rest)] if rest else []
    title = f"Maps: {axes[0]} by {axes[1]}"
    return Chapter("maps", title, [*first, *folded])


def _axes(board: Board) -> tuple[str, str] | None:
    """The first two axes of a board on which something is measured for several values of both."""
    filled = board.frame[board.frame["seeds"] > 0]
    several = [name for name in [*board.names, "dataset"] if filled[name].nunique(dropna=False) > 1]
    return next(combinations(several, 2), None)


def _maps(board: Board, axes: tuple[str, str], figure: str, name: str) -> list[Picture]:
    if board.frame[figure].notna().sum() < 2:
        return []
    blocks = [block for block in Pivot(board, *axes, figure).blocks if min(block.means.shape) > 1]
    better, drawn = board.figures[figure].better, blocks[:MOST_BLOCKS]
    if not drawn:
        return []
    alike = board.frame["dataset"].nunique() == 1 or "dataset" in axes
    ends = colour_ends(drawn) if alike else None  # values of different data are on different scales
    words = f"{figure} by {axes[0]} and {axes[1]}"
    svgs = [
        inline(heatmap_figure(block, better, ends), f"{name}-{i}", words) for i, block in enumerate(drawn)
    ]
    left = len(blocks) - len(drawn)
    more = f" {left} more by lvmbench leaderboard --rows {axes[0]} --columns {axes[1]}." if left else ""
    caption = f"Lighter is better; means over seeds ± half the width of their 95% interval.{more}"
    return [Picture(board.header(figure), Markup("").join(svgs), caption)]


def leaderboard(board: Board, anchors: Mapping[int, str]) -> Chapter:
    """The tables of the board."""
    return Chapter(
        "board", "Leaderboard", [*board_grids(board, anchors), Fold("how to read it", [Prose(how(board))])]
    )


def claims(board: Board) -> Chapter:
    """What became of the suite's claims, and published figures beside ours."""
    found = [claims_section(board), references_section(board)]
    return Chapter("claims", "Claims and published figures", [grid(part) for part in found if part])


def without_result(board: Board) -> Chapter:
    """Every combination, and every run of the others, that gave no result, with its reason."""
    parts = [_holes(board), _lost(board)]
    return Chapter("missing", "What gave no result", [part for part in parts if part.rows])


def _holes(board: Board) -> Grid:
    heads = [
        Head("data set"),
        Head("status"),
        Head("combinations", number=True),
        Head("reason"),
        Head("which"),
    ]
    rows = [
        [
            Cell(section.title),
            Cell(hole.status),
            Cell(str(hole.count), str(hole.count)),
            Cell(hole.reason),
            Cell("; ".join(hole.combinations)),
        ]
        for section in sections(board, refused=True)
        for hole in section.holes
    ]
    return Grid("Combinations", heads, rows)


def _lost(board: Board) -> Grid:
    """The runs of combinations of which other seeds gave a result."""
    runs = board.runs
    some = runs["status"].eq("ok").groupby([runs["dataset"], runs["label"]]).transform("any")
    lost = runs[some & (runs["status"] != "ok")]
    heads = [Head(text, text == "seed") for text in ("data set", "combination", "seed", "status", "reason")]
    columns = lost[["dataset", "label", "seed", "status", "reason"]].astype(str)
    rows = [
        [Cell(text, text if head.number else None) for head, text in zip(heads, row, strict=True)]
        for row in columns.itertuples(index=False)
    ]
    return Grid("Single runs", heads, rows)
