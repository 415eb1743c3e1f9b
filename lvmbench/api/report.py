"""The report of results: one html file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lvmbench import __version__
from lvmbench.api.gallery import gallery
from lvmbench.errors import LvmbenchError, UserError
from lvmbench.kinds import PARTS
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.results.export import ENVIRONMENTS, REPORT
from lvmbench.results.folder import REMARKS, board_of
from lvmbench.results.redo import origin_of, recipe
from lvmbench.results.report.listing import Made
from lvmbench.results.report.report import Material, report
from lvmbench.results.tables import CURVES, EVALUATIONS, MEASUREMENTS, RECORDS, read_object, write
from lvmbench.results.weights import sha256_of
from lvmbench.status import Status

if TYPE_CHECKING:
    from lvmbench.api.results import Results

Tables = tuple[pd.DataFrame, pd.DataFrame]
_FILES = ("suite.yaml", RECORDS, MEASUREMENTS, EVALUATIONS, CURVES, REMARKS)


def write_report(results: Results, tables: Tables, path: Path) -> None:
    """Write the report of results, with their records and measurements, to a file, whole or not at all."""
    write(path, report(_material(results, tables), _facts(results)))


def is_current(directory: Path) -> bool:
    """Whether a directory has a report that is no older than its tables, written where they change."""
    file = directory / REPORT
    tables = [directory / name for name in _FILES if (directory / name).is_file()]
    return file.is_file() and all(one.stat().st_mtime <= file.stat().st_mtime for one in tables)


def _facts(results: Results) -> list[str]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [f"Made from {results.directory} with lvmbench {__version__}, {now}."]


def _material(results: Results, tables: Tables) -> Material:
    selection = results.selection
    try:
        curves = results.curves
    except UserError:  # boards are published with or without them
        curves = None
    board = board_of(*tables, results.directory)
    made = _made(results.directory, selection, tables)
    models = [gallery(results, board)] if results.has_weights and board.counts.get(Status.OK) else []
    return Material(board, made, curves, dict(_said(board.records, selection)), models)


def _said(records: pd.DataFrame, selection: PluginSelection) -> Iterator[tuple[tuple[str, str], str]]:
    """The first sentence of the documentation of each component that is here."""
    catalogue = load_catalogue(selection)
    for kind in PARTS:
        for name in records[kind].astype(str).unique():
            bare = name.partition("[")[0]
            if (kind, bare) in catalogue:
                yield (kind, name), catalogue.entry(kind, bare).summary


def _made(directory: Path, selection: PluginSelection, tables: tuple[pd.DataFrame, pd.DataFrame]) -> Made:
    environments = _environments(directory)
    try:
        origin = origin_of(directory, environments, selection, tables)
        commands, needs = recipe(origin, directory.resolve().name)
    except LvmbenchError as error:  # the results are there to be read all the same
        commands, needs = [], [f"How to redo it cannot be said: {error}"]
    checksums = {name: sha256_of(directory / name) for name in _FILES if (directory / name).is_file()}
    return Made(commands, needs, environments, checksums)


def _environments(directory: Path) -> list[dict[str, Any]]:
    return list(read_object(directory / ENVIRONMENTS).values())
