"""The chapters of a report that follow from a board: answer, effects, maps, tables, what gave no result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from markupsafe import Markup

from lvmbench.results.answer import answer
from lvmbench.results.board import Board
from lvmbench.results.endings import baselines_section, claims_section, legend, references_section
from lvmbench.results.front import front_section
from lvmbench.results.labels import by_table
from lvmbench.results.pictures.effects import effects_figure
from lvmbench.results.pictures.heatmap import colour_ends, heatmap_figure
from lvmbench.results.pivot import Pivot
from lvmbench.results.report.grid import Cell, Grid, Head, board_grids, grid
from lvmbench.results.report.page import Chapter, Fold, Picture, Prose
from lvmbench.results.report.svg import inline
from lvmbench.results.sections import how, sections

MOST_BLOCKS = 12
"""So many blocks of a pivot are drawn; the command line has the others."""
MOST_NAMED = 3
"""So many combinations of those that lack a result for one reason are named beside it."""
MOST_FIGURES = 6
"""So many figures of a board have heat maps."""


def short(board: Board, ranking: Picture | None = None) -> Chapter:
    """What the board comes to: what to use, how sure that is, what parts are worth, and a picture of it."""
    found = answer(board)
    leading = [f"{one.table}: {one.sentences[0]}" if one.table else one.sentences[0] for one in found]
    rest = [f"{one.table}: {text}" if one.table else text for one in found for text in one.sentences[1:]]
    parts = [Prose(leading, leading=True), *([Prose(rest)] if rest else []), *([ranking] if ranking else [])]
    return Chapter("answer", "In short", parts)


def worth(board: Board) -> Chapter:
    """What exchanging each part is worth, everything else being equal."""
    found = board.worth
    if found.parts.empty or board.metric is None:
        return Chapter("effects", "What each part is worth")
    drawn = effects_figure(
        by_table(found.parts), board.called(board.metric), board.figures[board.metric].better
    )
    picture = Picture("", inline(drawn, "effects", "effects of exchanging each part, with intervals"))
    return Chapter("effects", "What each part is worth", [picture, *map(grid, found.sections)])


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
    words = f"{board.called(figure)} by {axes[0]} and {axes[1]}"
    svgs = [
        inline(heatmap_figure(block, better, ends), f"{name}-{i}", words) for i, block in enumerate(drawn)
    ]
    left = len(blocks) - len(drawn)
    more = f" {left} more by lvmbench leaderboard --rows {axes[0]} --columns {axes[1]}." if left else ""
    caption = f"Lighter is better; means over seeds ± half the width of their 95% interval.{more}"
    return [Picture(board.header(figure), Markup("").join(svgs), caption)]


def front(board: Board, drawn: Picture | None) -> Chapter:
    """Which rows no other is both as good and as quick as."""
    section = front_section(board)
    parts = [drawn, grid(section)] if section and drawn else []
    return Chapter("front", "Quality against time", parts)


def leaderboard(board: Board, anchors: Mapping[int, str]) -> Chapter:
    """The tables of the board, and what their rows are held against."""
    columns, beside = legend(board), baselines_section(board)
    read = [*([grid(columns)] if columns else []), Prose(how(board))]
    shown = [*board_grids(board, anchors), *([grid(beside)] if beside else [])]
    return Chapter("board", "Leaderboard", [*shown, Fold("how to read it", read)])


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
            Cell(_listed(hole.combinations)),
        ]
        for section in sections(board, refused=True)
        for hole in section.holes
    ]
    return Grid("Combinations", heads, rows)


def _listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are; each is among the combinations, with its runs."""
    more = (
        f" and {len(names) - MOST_NAMED} more, among the combinations below"
        if len(names) > MOST_NAMED
        else ""
    )
    return "; ".join(names[:MOST_NAMED]) + more


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
