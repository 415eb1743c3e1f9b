"""The report of results: one html file."""

from __future__ import annotations

import hashlib
import json
import os
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
from lvmbench.results.export import ENVIRONMENTS
from lvmbench.results.folder import REMARKS
from lvmbench.results.redo import origin_of, recipe
from lvmbench.results.report.listing import Made
from lvmbench.results.report.report import Material, report
from lvmbench.results.tables import CURVES, EVALUATIONS, MEASUREMENTS, RECORDS
from lvmbench.status import Status

if TYPE_CHECKING:
    from lvmbench.api.results import Results

REPORT = "report.html"
"""What the report of a results directory is called."""
_FILES = ("suite.yaml", RECORDS, MEASUREMENTS, EVALUATIONS, CURVES, REMARKS)


def write_report(results: Results, path: Path) -> None:
    """Write the report of results to a file, whole or not at all."""
    text = report(_material(results), _facts(results))
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _facts(results: Results) -> list[str]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [f"Made from {results.directory} with lvmbench {__version__}, {now}."]


def _material(results: Results) -> Material:
    selection = results.selection
    try:
        curves = results.curves
    except UserError:  # boards are published with or without them
        curves = None
    board, made = results.board(), _made(results.directory, selection)
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


def _made(directory: Path, selection: PluginSelection) -> Made:
    environments = _environments(directory)
    try:
        commands, needs = recipe(origin_of(directory, environments, selection), directory.resolve().name)
    except LvmbenchError as error:  # the results are there to be read all the same
        commands, needs = [], [f"How to redo it cannot be said: {error}"]
    checksums = {name: _sha256(directory / name) for name in _FILES if (directory / name).is_file()}
    return Made(commands, needs, environments, checksums)


def _environments(directory: Path) -> list[dict[str, Any]]:
    path = directory / ENVIRONMENTS
    return list(json.loads(path.read_text(encoding="utf-8")).values()) if path.is_file() else []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
