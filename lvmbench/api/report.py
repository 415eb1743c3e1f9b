"""The report of results: one html file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lvmbench import __version__
from lvmbench.api.leading import Shown, leading
from lvmbench.errors import LvmbenchError, UserError
from lvmbench.execution.asking import LIMIT
from lvmbench.execution.executor import Crash, Executor, Tell
from lvmbench.execution.meanwhile import Meanwhile
from lvmbench.kinds import PARTS
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.results.export import ENVIRONMENTS, REPORT
from lvmbench.results.folder import REMARKS
from lvmbench.results.redo import datasets_in, origin_of, raw_sets, recipe
from lvmbench.results.report.listing import Made
from lvmbench.results.report.page import Chapter, Entry
from lvmbench.results.report.report import Material, Rest, report
from lvmbench.results.tables import CURVES, EVALUATIONS, MEASUREMENTS, RECORDS, read_object, write
from lvmbench.results.weights import sha256_of
from lvmbench.status import Status

if TYPE_CHECKING:
    from lvmbench.api.results import Results
    from lvmbench.results.board import Board

RAW, ENTRIES = f"{__name__}:raw_files", "lvmbench.api.gallery:entries"
_FILES = ("suite.yaml", RECORDS, MEASUREMENTS, EVALUATIONS, CURVES, REMARKS)


def write_report(results: Results, path: Path, executor: Executor, board: Board | None = None) -> None:
    """Write the report of results to a file, whole or not at all.

    What asks components for anything, such as pictures of models, is done by an executor. The ``board`` is
    theirs, where it is known already.
    """
    write(path, report(_material(results, executor, board or results.board()), _facts(results)))


def is_current(directory: Path) -> bool:
    """Whether a directory has a report that is no older than its tables, written where they change."""
    file = directory / REPORT
    tables = [directory / name for name in _FILES if (directory / name).is_file()]
    return file.is_file() and all(one.stat().st_mtime <= file.stat().st_mtime for one in tables)


def _facts(results: Results) -> list[str]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [f"Made from {results.directory} with lvmbench {__version__}, {now}."]


def _material(results: Results, executor: Executor, board: Board) -> Material:
    models = leading(board) if results.has_weights and board.counts.get(Status.OK) else []
    asked = _asked(results, board.records, models, executor)
    try:
        curves = results.curves
    except UserError:  # boards are published with or without them
        curves = None

    def rest() -> Rest:
        raw, entries = asked()
        return Rest(_made(results, raw), [Chapter("models", "What the models make", entries)])

    return Material(board, rest, curves, dict(_said(board.records, results.selection)))


def _asked(
    results: Results, records: pd.DataFrame, models: Sequence[Shown], executor: Executor
) -> Callable[[], tuple[list[str] | Crash, list[Entry]]]:
    """Have an executor ask components what only they know; gives the data sets that are made of raw files,
    and the pictures of each model.
    """
    workers, placed = executor.resources.workers, [*enumerate(models)]
    parts = [part for first in range(workers) if (part := placed[first::workers])]
    jobs = [(RAW, (results.selection, datasets_in(records))), *((ENTRIES, (results, part)) for part in parts)]
    begun = Meanwhile(executor, jobs, LIMIT)

    def answers() -> tuple[list[str] | Crash, list[Entry]]:
        raw, *drawn = begun.outcomes()
        entries = dict[int, Entry]()
        for part, outcome in zip(parts, drawn, strict=True):
            if isinstance(outcome, Crash):
                outcome = [model.hidden(outcome.reason) for _, model in part]
            entries |= zip((place for place, _ in part), outcome, strict=True)
        return raw, [entries[place] for place, _ in placed]

    return answers


def raw_files(job: tuple[PluginSelection, Sequence[Ref]], tell: Tell) -> list[str]:
    """Which data sets are made of raw files."""
    return raw_sets(*job)


def _said(records: pd.DataFrame, selection: PluginSelection) -> Iterator[tuple[tuple[str, str], str]]:
    """The first sentence of the documentation of each component that is here."""
    catalogue = load_catalogue(selection)
    for kind in PARTS:
        for name in records[kind].astype(str).unique():
            bare = name.partition("[")[0]
            if (kind, bare) in catalogue:
                yield (kind, name), catalogue.entry(kind, bare).summary


def _made(results: Results, raw: Sequence[str] | Crash) -> Made:
    directory, environments = results.directory, _environments(results.directory)
    try:
        if isinstance(raw, Crash):
            raise UserError(raw.reason)
        origin = origin_of(directory, environments, results.selection, results.tables())
        commands, needs = recipe(origin, directory.resolve().name, raw)
    except LvmbenchError as error:  # the results are there to be read all the same
        commands, needs = [], [f"How to redo it cannot be said: {error}"]
    checksums = {name: sha256_of(directory / name) for name in _FILES if (directory / name).is_file()}
    return Made(commands, needs, environments, checksums)


def _environments(directory: Path) -> list[dict[str, Any]]:
    return list(read_object(directory / ENVIRONMENTS).values())
