"""The files of a results directory: tables and figures made from its store."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from lvmbench.errors import UserError
from lvmbench.leaderboard import leaderboard
from lvmbench.publish import judged
from lvmbench.render import to_csv, to_markdown
from lvmbench.store import Store

RECORDS, MEASUREMENTS, EVALUATIONS = "records.csv", "measurements.csv", "evaluations.csv"
BOARD_CSV, BOARD_MARKDOWN, BOARD_FIGURE, CURVES_FIGURE, RATE_FIGURE = (
    "leaderboard.csv",
    "leaderboard.md",
    "leaderboard.svg",
    "curves.svg",
    "rate_distortion.svg",
)


def export(store: Store, out: Path) -> None:
    """Write every table and figure, each whole or not at all."""
    records, measurements = store.records(), store.measurements()
    _write(out / RECORDS, records.to_csv(index=False))
    _write(out / MEASUREMENTS, measurements.to_csv(index=False))
    _write(out / EVALUATIONS, store.evaluations().to_csv(index=False))
    _boards(store, records, measurements, out)


def board_of(
    records: pd.DataFrame, measurements: pd.DataFrame, metric: str | None, out: Path
) -> pd.DataFrame:
    """The leaderboard by the suite's metric, or by the default one where that was not measured, with the suite's claims."""
    try:
        board = leaderboard(records, measurements, metric=metric)
    except UserError:
        board = leaderboard(records, measurements)
    return judged(board, out, records, measurements)


def _boards(store: Store, records: pd.DataFrame, measurements: pd.DataFrame, out: Path) -> None:
    board = board_of(records, measurements, store.meta().get("metric"), out)
    _write(out / BOARD_CSV, to_csv(board))
    if _write(out / BOARD_MARKDOWN, to_markdown(board, records)) or not (out / BOARD_FIGURE).exists():
        _draw(store, board, records, measurements, out)


def _draw(
    store: Store, board: pd.DataFrame, records: pd.DataFrame, measurements: pd.DataFrame, out: Path
) -> None:
    """The figures, which take a second, only where there is something new to see."""
    from lvmbench.plots import curves, leaderboard_figure, save
    from lvmbench.rate_distortion import rate_distortion_figure

    figure = leaderboard_figure(board, records, measurements)
    if figure:
        save(figure, out / BOARD_FIGURE)
    figure = curves(store.curves(), records)
    if figure:
        save(figure, out / CURVES_FIGURE)
    figure = rate_distortion_figure(records, measurements)
    if figure:
        save(figure, out / RATE_FIGURE)


def _write(path: Path, text: str) -> bool:
    """Write a file whole or not at all; says whether it changed."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return True
