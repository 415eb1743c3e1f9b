"""Which trained models a report shows: the leading ones of each data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.report.page import Entry, Prose
from lvmbench.status import Status

MOST_MODELS = 4
"""So many combinations of a data set are shown: the first, and the first with another prior or decoder."""


class Shown(NamedTuple):
    """A model that is shown: the key of its run, its data set, what it is called there, and its seed."""

    key: str
    dataset: str
    label: str
    seed: int

    def entry(self, parts: Sequence[Any]) -> Entry:
        """What is shown of it."""
        return Entry(f"model-{self.key[:12]}", f"{self.dataset}: {self.label}, seed {self.seed}", parts)

    def hidden(self, why: str) -> Entry:
        """What is said of it where it cannot be shown."""
        return self.entry([Prose([f"It cannot be shown: {why}."])])


def leading(board: Board) -> list[Shown]:
    """The models of a board that are shown, by the run of each combination that is the first to be ok."""
    runs = pd.concat([_of_dataset(board, str(name)) for name in board.frame["dataset"].unique()])
    return [Shown(*row) for row in runs[[*Shown._fields]].itertuples(index=False)]


def _of_dataset(board: Board, dataset: str) -> pd.DataFrame:
    frame = board.frame[(board.frame["dataset"] == dataset) & (board.frame["seeds"] > 0)]
    frame = pd.concat([frame.iloc[:1], frame.drop_duplicates("prior"), frame.drop_duplicates("decoder")])
    frame = frame[~frame.index.duplicated()].iloc[:MOST_MODELS]
    runs = board.runs[(board.runs["dataset"] == dataset) & (board.runs["status"] == Status.OK)]
    first = runs.sort_values("seed", kind="stable").drop_duplicates("label").set_index("label", drop=False)
    return first.loc[board.labels[frame.index].tolist()]
