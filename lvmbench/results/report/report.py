"""The report of a board: all of its chapters, in the order of what is asked first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.report import chapters, drawn, listing
from lvmbench.results.report.anchors import combination_anchors
from lvmbench.results.report.listing import Made
from lvmbench.results.report.page import Chapter, render
from lvmbench.results.tables import plain_text


class Rest(NamedTuple):
    """What a report has besides its board.

    Arguments:
        made: How its results came about.
        models: The chapters of pictures of trained models.
    """

    made: Made
    models: Sequence[Chapter] = ()


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is made of.

    Arguments:
        board: The board.
        rest: Gives what is asked for last, as it may be made meanwhile.
        curves: The learning curves, where they are known.
        said: What the documentation of components says of them, by kind and name.
    """

    board: Board
    rest: Callable[[], Rest]
    curves: pd.DataFrame | None = None
    said: Mapping[tuple[str, str], str] = field(default_factory=dict)


@plain_text()
def report(material: Material, facts: Sequence[str]) -> str:
    """The html of a report, in one piece that needs nothing else.

    Arguments:
        material: What it is made of.
        facts: What stands below its title.
    """
    board = material.board
    anchors = dict(zip(board.records["key"], combination_anchors(board.records), strict=True))
    first = [
        chapters.short(board, drawn.ranking(board)),
        chapters.worth(board),
        chapters.heatmaps(board),
        chapters.leaderboard(board, _of_rows(board, anchors)),
        chapters.front(board, drawn.front(board)),
        chapters.claims(board),
        chapters.without_result(board),
    ]
    last = [
        drawn.training(board, material.curves),
        drawn.tightness(board),
        drawn.gradients(board),
        drawn.informativeness(board),
        listing.components(board, material.said),
        listing.combinations(board, anchors),
    ]
    made, models = material.rest()
    pages = [*first, *models, *last, listing.made(made)]
    counts = ", ".join(f"{n} {status}" for status, n in board.counts.items())
    return render(board.title.replace("Leaderboard", "Report", 1), [f"Runs: {counts}.", *facts], pages)


def _of_rows(board: Board, anchors: Mapping[str, str]) -> dict[int, str]:
    """The anchor of the combination of each row of a board's frame."""
    keys = board.runs.drop_duplicates(["dataset", "label"]).set_index(["dataset", "label"])["key"]
    places = zip(board.frame["dataset"], board.labels, strict=True)
    return {row: anchors[keys[place]] for row, place in zip(board.frame.index, places, strict=True)}
