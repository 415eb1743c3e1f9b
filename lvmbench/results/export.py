"""The files of a results directory: tables and figures made from its store."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lvmbench.kinds import PARTS
from lvmbench.registry.loader import PluginSelection
from lvmbench.results.markdown import to_csv, to_markdown
from lvmbench.results.publish import CURVES, board_of
from lvmbench.results.store import Store

RECORDS, MEASUREMENTS, EVALUATIONS = "records.csv", "measurements.csv", "evaluations.csv"
ENVIRONMENTS = "environment.json"
BOARD_CSV, BOARD_MARKDOWN, BOARD_FIGURE, CURVES_FIGURE, RATE_FIGURE = (
    "leaderboard.csv",
    "leaderboard.md",
    "leaderboard.svg",
    "curves.svg",
    "rate_distortion.svg",
)


LATE = 0.05
"""A run whose best epoch is among this share of its last ones was still improving."""


def export(store: Store, out: Path) -> None:
    """Write every table and figure, each whole or not at all."""
    records, measurements = tables(store)
    _write(out / RECORDS, records.to_csv(index=False))
    _write(out / MEASUREMENTS, measurements.to_csv(index=False))
    _write(out / EVALUATIONS, store.evaluations().to_csv(index=False))
    _write(out / CURVES, store.curves().to_csv(index=False))
    _write(out / ENVIRONMENTS, json.dumps(store.environments(), indent=2) + "\n")
    _boards(store, records, measurements, out)


def tables(store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records and the measurements of a store, and what its suite, as it is now, makes of them.

    ``asked_by`` is ``suite`` for the runs and the evaluators that the suite asks for, ``evaluate`` for evaluators that were
    added to them, and empty for what it no longer has. ``support`` is where p(x|z) of a run has its probability. ``improving``
    says of an ok run whether its best epoch is among the last 5% of those it trained, unless it waited for the budget's
    patience in vain. Measurements are in the order of the evaluators.
    """
    meta, records, measurements = store.meta(), store.records(), store.measurements()
    records["asked_by"] = _asked_runs(records, meta)
    supports = json.loads(meta.get("supports", "{}"))
    records["support"] = [supports.get(decoder, "") for decoder in records["decoder"]]
    records["improving"] = _improving(records, int(meta.get("patience", "0")))
    return records, _asked_figures(measurements, meta)


def _asked_runs(records: pd.DataFrame, meta: Mapping[str, str]) -> list[str]:
    if "combinations" not in meta:
        return ["suite"] * len(records)
    asked = set(map(tuple, json.loads(meta["combinations"])))
    rows = records[[*PARTS, "latent"]].itertuples(index=False, name=None)
    return ["suite" if row in asked else "" for row in rows]


def _asked_figures(measurements: pd.DataFrame, meta: Mapping[str, str]) -> pd.DataFrame:
    if "evaluators" not in meta:
        return measurements.assign(asked_by="suite")
    added = dict.fromkeys(json.loads(meta.get("added", "[]")), "evaluate")
    asked = dict.fromkeys(json.loads(meta["evaluators"]), "suite")
    order = {evaluator: i for i, evaluator in enumerate({**asked, **added})}
    by = [{**added, **asked}.get(evaluator, "") for evaluator in measurements["evaluator"]]
    place = np.array([order.get(evaluator, len(order)) for evaluator in measurements["evaluator"]], dtype=int)
    return measurements.assign(asked_by=by).iloc[place.argsort(kind="stable")].reset_index(drop=True)


def _improving(records: pd.DataFrame, patience: int) -> pd.Series[bool]:
    """Whether each run was still improving when its training ended; missing for those that are not ok."""
    waited = records["epochs"] - records["best_epoch"]
    stopped = (waited >= patience) & (patience > 0)
    late = waited < np.ceil(LATE * records["epochs"].astype(float))
    trained = records["parameters"].astype(float) > 0
    found = (late & ~stopped & trained).astype("boolean")
    return found.where(records["status"] == "ok")


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
    from lvmbench.results.pictures.board import leaderboard_figure, save
    from lvmbench.results.pictures.learning_curves import curves
    from lvmbench.results.pictures.rate_distortion import rate_distortion_figure

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
