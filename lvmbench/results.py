"""The files of a results directory: tables and figures made from its store."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

from lvmbench.plugins import PluginSelection
from lvmbench.publish import CURVES, board_of
from lvmbench.render import to_csv, to_markdown
from lvmbench.store import Store

RECORDS, MEASUREMENTS, EVALUATIONS = "records.csv", "measurements.csv", "evaluations.csv"
ENVIRONMENTS = "environment.json"
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
    _write(out / CURVES, store.curves().to_csv(index=False))
    _write(out / ENVIRONMENTS, json.dumps(store.environments(), indent=2) + "\n")
    _boards(store, records, measurements, out)


def plugins_of(store: Store) -> PluginSelection:
    """The plugins that the runs of a store were made with."""
    extra, blocked = json.loads(store.meta().get("plugins", "[[], []]"))
    return PluginSelection(tuple(extra), tuple(blocked))


def is_published(directory: Path) -> bool:
    """Whether a folder is a published board: tables without a store and weights."""
    return (directory / RECORDS).is_file() and not (directory / "store.sqlite").exists()


def _boards(store: Store, records: pd.DataFrame, measurements: pd.DataFrame, out: Path) -> None:
    board = board_of(records, measurements, out)
    _write(out / BOARD_CSV, to_csv(board))
    if _write(out / BOARD_MARKDOWN, to_markdown(board, records)) or not (out / BOARD_FIGURE).exists():
        _draw(store, board, records, measurements, out)


def _draw(
    store: Store, board: pd.DataFrame, records: pd.DataFrame, measurements: pd.DataFrame, out: Path
) -> None:
    """The figures, which take a second, only where there is something new to see."""
    from lvmbench.learning_curves import curves
    from lvmbench.plots import leaderboard_figure, save
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
