"""The files of a results directory: tables and figures made from its store."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from lvmbench.results.board import Board
from lvmbench.results.folder import board_of
from lvmbench.results.markdown import to_markdown
from lvmbench.results.store import Store
from lvmbench.results.tables import (
    BASELINES,
    CURVES,
    EVALUATIONS,
    MEASUREMENTS,
    RECORDS,
    as_csv,
    plain_text,
    stored_tables,
    write,
)

ENVIRONMENTS, REPORT = "environment.json", "report.html"
BOARD_CSV, BOARD_MARKDOWN, REFERENCES = "leaderboard.csv", "leaderboard.md", "references.csv"
BOARD_FIGURE, FRONT_FIGURE = "leaderboard.svg", "front.svg"
CURVES_FIGURE, RATE_FIGURE = "curves.svg", "rate_distortion.svg"
FILES = (
    BOARD_MARKDOWN,
    BOARD_CSV,
    REFERENCES,
    BOARD_FIGURE,
    FRONT_FIGURE,
    CURVES_FIGURE,
    RATE_FIGURE,
    RECORDS,
    MEASUREMENTS,
    EVALUATIONS,
    CURVES,
    BASELINES,
)
"""What is there to be read, the boards first."""


def export(store: Store, out: Path) -> None:
    """Write every table and figure, each whole or not at all."""
    records, measurements = stored_tables(store)
    curves = store.curves()
    tables = {RECORDS: records, MEASUREMENTS: measurements, EVALUATIONS: store.evaluations(), CURVES: curves}
    for name, table in tables.items():
        write(out / name, table.to_csv(index=False))
    write(out / ENVIRONMENTS, json.dumps(store.environments(), indent=2) + "\n")
    write_board(board_of(records, measurements, out), curves, out)


@plain_text()
def write_board(board: Board, curves: pd.DataFrame | None, target: Path) -> None:
    """Write ``leaderboard.csv``, ``.md``, ``references.csv`` where there are any
    and, where something was measured, the figures to a folder.

    The figures take a second and are drawn only where there is something new to see.

    Arguments:
        board: The board.
        curves: The learning curves, where they are known.
        target: The folder to write to.
    """
    write(target / BOARD_CSV, board.to_csv())
    if not board.references.empty:
        write(target / REFERENCES, as_csv(board.references))
    if write(target / BOARD_MARKDOWN, to_markdown(board)) or not (target / BOARD_FIGURE).exists():
        _draw(board, curves, target)


def _draw(board: Board, curves: pd.DataFrame | None, target: Path) -> None:
    from lvmbench.results.pictures.board import leaderboard_figure, save
    from lvmbench.results.pictures.front import front_figure
    from lvmbench.results.pictures.learning_curves import curves_figure
    from lvmbench.results.pictures.rate_distortion import rate_distortion_figure

    figures = {
        BOARD_FIGURE: leaderboard_figure(board),
        FRONT_FIGURE: front_figure(board),
        CURVES_FIGURE: None if curves is None else curves_figure(curves, board),
        RATE_FIGURE: rate_distortion_figure(board),
    }
    for name, figure in figures.items():
        if figure:
            save(figure, target / name)
