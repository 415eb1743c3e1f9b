"""The chapters of a report that are pictures of figures: training, gaps, gradients, what latents carry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.labels import short_labels
from lvmbench.results.pictures.board import leaderboard_figure
from lvmbench.results.pictures.front import front_figure
from lvmbench.results.pictures.gaps import gaps_figure
from lvmbench.results.pictures.gradients import gradient_table, gradients_figure
from lvmbench.results.pictures.learning_curves import curves_figure
from lvmbench.results.pictures.rate_distortion import rate_distortion_figure
from lvmbench.results.pictures.units import units_figure
from lvmbench.results.report.page import Chapter, Picture
from lvmbench.results.report.svg import inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_RANKED = 12
"""So many combinations of a table are in the picture of ranks."""
MOST_ROWS = 30
"""So many combinations of a table are drawn, the first ones; the tables have all."""
MOST_POINTS = 100
"""So many epochs of a learning curve are drawn."""
MOST_GRADIENTS = 3
"""So many combinations have a picture of their gradients."""


def ranking(board: Board) -> Picture | None:
    """The figure that ranks, of the first combinations of each table."""
    own = _first(board, MOST_RANKED)
    return _picture(
        "", leaderboard_figure(own), "ranking", "means, intervals and single seeds", _cut(board, MOST_RANKED)
    )


def front(board: Board) -> Picture | None:
    """What ranks against the time of training."""
    return _picture("", front_figure(board), "front", "quality against seconds of training")


def training(board: Board, curves: pd.DataFrame | None) -> Chapter:
    """The learning curves of the first combinations of each table."""
    if curves is None or curves.empty:
        return Chapter("training", "Training")
    own = _first(board, MOST_ROWS)
    frame = _thinned(curves[curves["key"].isin(own.runs["key"])])
    drawn = _picture(
        "", curves_figure(frame, own, seeds=True), "training", "learning curves", _cut(board, MOST_ROWS)
    )
    return Chapter("training", "Training", [drawn] if drawn else [])


def tightness(board: Board) -> Chapter:
    """How far the ELBO is below log p(x)."""
    drawn = gaps_figure(_first(board, MOST_ROWS))
    return _chapter(
        "gaps", "ELBO and gap", _picture("", drawn, "gaps", "gap of each combination", _cut(board, MOST_ROWS))
    )


def informativeness(board: Board) -> Chapter:
    """Rate and distortion, and what each latent unit carries."""
    own = _first(board, MOST_ROWS)
    plane, units = rate_distortion_figure(own), units_figure(own)
    return _chapter(
        "information",
        "What the latents carry",
        _picture("Rate and distortion", plane, "plane", "distortion against rate", _cut(board, MOST_ROWS)),
        _picture(
            "KL divergence of each unit",
            units,
            "units",
            "KL divergence of each latent unit",
            _cut(board, MOST_ROWS),
        ),
    )


def gradients(board: Board) -> Chapter:
    """The noise of gradient estimators against the number of samples."""
    rows = board.frame[board.frame["seeds"] > 0]
    names = short_labels(rows, board.names) if len(rows) else pd.Series(dtype=str)
    tables = ((name, gradient_table(row)) for name, (_, row) in zip(names, rows.iterrows(), strict=True))
    known = [(name, table) for name, table in tables if table["samples"].nunique() > 1][:MOST_GRADIENTS]
    drawn = (
        _picture(name, gradients_figure(table), f"gradient{i}", f"gradient noise of {name}")
        for i, (name, table) in enumerate(known)
    )
    return _chapter("gradients", "Gradients and the number of samples", *drawn)


def _chapter(anchor: str, title: str, *pictures: Picture | None) -> Chapter:
    return Chapter(anchor, title, [picture for picture in pictures if picture])


def _picture(title: str, figure: Figure | None, name: str, words: str, caption: str = "") -> Picture | None:
    return Picture(title, inline(figure, name, words), caption) if figure else None


def _first(board: Board, most: int) -> Board:
    """The board of the first combinations of each table that have a result, so many of each."""
    filled = board.frame[board.frame["seeds"] > 0]
    rows = filled.groupby(["dataset", "scale"], sort=False).head(most)
    shown = set(zip(rows["dataset"], board.labels[rows.index], strict=True))
    own = [place in shown for place in zip(board.runs["dataset"], board.runs["label"], strict=True)]
    return replace(board, frame=rows, runs=board.runs[own])


def _cut(board: Board, most: int) -> str:
    """What to say where a table has more combinations than are drawn."""
    filled = board.frame[board.frame["seeds"] > 0]
    longest = int(filled.groupby(["dataset", "scale"]).size().max()) if len(filled) else 0
    return f"The first {most} combinations of each table are drawn." if longest > most else ""


def _thinned(curves: pd.DataFrame) -> pd.DataFrame:
    """At most so many epochs, the last of each run among them."""
    last = int(curves["epoch"].max())
    kept = np.unique(np.linspace(0, last, MOST_POINTS).round())
    ends = curves.groupby("key")["epoch"].transform("max")
    return curves[curves["epoch"].isin(kept) | (curves["epoch"] == ends)]
