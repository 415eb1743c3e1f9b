"""Publishing a leaderboard: the suite, the records and the table made from them, in one folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import lvmbench
from lvmbench.errors import UserError
from lvmbench.registry.loader import PluginSelection
from lvmbench.results.board import leaderboard, read_results, read_table, suite_leaderboard
from lvmbench.results.markdown import to_csv, to_markdown
from lvmbench.results.redo import Origin, origin_of, redo
from lvmbench.results.verdicts import judge
from lvmbench.text import printable

CHANGES = "## What changed"
"""The heading in a published README below which everything is kept when the board is published anew."""
SOURCES = ("suite.yaml", "records.csv", "measurements.csv")
"""The files of a results directory from which everything else is made."""
REMARKS = "remarks.json"
"""The file of a results directory that says, by data set, what to know of the data."""
CURVES = "curves.csv"
OTHERS = ("evaluations.csv", CURVES, "environment.json", REMARKS)
"""What else of a results directory is published, where it is there."""


def board_of(
    records: pd.DataFrame,
    measurements: pd.DataFrame,
    out: Path,
    metric: str | None = None,
    split: str = "test",
) -> pd.DataFrame:
    """The leaderboard by a metric, or by the suite's, or where that was not measured by the default one; with the claims.

    Arguments:
        records: One row per run.
        measurements: Long, one row per figure of a run.
        out: The folder of the results or of the published board, for its suite.
        metric: What to rank by instead of the suite's metric; raises `UserError` where it was not measured.
        split: The split whose measurements count.
    """
    if metric is not None:
        board = leaderboard(records, measurements, metric=metric, split=split)
    else:
        own = suite_of(out).get("metric")
        board = suite_leaderboard(records, measurements, None if own is None else str(own), split)
    return judged(board, out, records, measurements)


def rebuild(directory: Path) -> pd.DataFrame:
    """Make the leaderboard again from the tables and the suite of a directory; raises `UserError` where it has none."""
    return board_of(*read_results(directory), directory)


def judged(
    board: pd.DataFrame, directory: Path, records: pd.DataFrame, measurements: pd.DataFrame
) -> pd.DataFrame:
    """The board with, in its ``attrs``, what became of the ``claims`` of its suite and ``remarks`` on its data sets."""
    found = judge(suite_of(directory).get("claims", []), records, measurements)
    board.attrs |= {"claims": found.to_dict("records"), "remarks": remarks_in(directory)}
    return board


def remarks_in(directory: Path) -> dict[str, list[str]]:
    """What to know of the data that a results directory was made with, by data set."""
    path = directory / REMARKS
    remarks: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return remarks


def write_board(directory: Path, target: Path) -> None:
    """Write ``leaderboard.csv``, ``.md`` and, where something was measured, the figures of a results directory.

    Arguments:
        directory: Where the records and measurements are.
        target: The folder to write to, which may be the same.
    """
    from lvmbench.results.pictures.board import leaderboard_figure, save
    from lvmbench.results.pictures.learning_curves import curves
    from lvmbench.results.pictures.rate_distortion import rate_distortion_figure

    records, measurements = read_results(directory)
    board = rebuild(directory)
    (target / "leaderboard.csv").write_text(to_csv(board), encoding="utf-8")
    (target / "leaderboard.md").write_text(to_markdown(board, records), encoding="utf-8")
    figure = leaderboard_figure(board, records, measurements)
    if figure is not None:
        save(figure, target / "leaderboard.svg")
    figure = rate_distortion_figure(records, measurements)
    if figure is not None:
        save(figure, target / "rate_distortion.svg")
    figure = curves(read_table(directory / CURVES), records) if (directory / CURVES).is_file() else None
    if figure is not None:
        save(figure, target / "curves.svg")


def publish(directory: Path, target: Path, selection: PluginSelection | None = None) -> None:
    """Copy a finished suite to ``target``, with its plugins, its board made again from the records, and how to redo it.

    ``target`` appears complete or not at all; a board published there before is replaced.

    Arguments:
        directory: The results directory of ``lvmbench run``.
        target: The folder to make, such as ``leaderboards/NAME``.
        selection: The plugins that the runs were made with, beside the installed ones.

    Raises `UserError` where the directory has no results or unfinished runs, ``target`` is something else, or a plugin is
    no longer what the runs were made with.
    """
    target = Path(os.path.abspath(target))
    _check(directory, target)
    origin = origin_of(directory, _environments(directory), selection or PluginSelection())
    plugins = origin.files
    readme = _readme(directory, target.name, origin) + _changes(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        made, old = Path(scratch) / "new", Path(scratch) / "old"
        made.mkdir()
        present = (name for name in OTHERS if (directory / name).is_file())
        for file in (*(directory / name for name in (*SOURCES, *present)), *plugins):
            shutil.copyfile(file, made / file.name)
        write_board(made, made)
        (made / "README.md").write_text(readme, encoding="utf-8")
        _replace(made, target, old)


def _replace(made: Path, target: Path, old: Path) -> None:
    if not target.exists():
        made.rename(target)
        return
    target.rename(old)
    try:
        made.rename(target)
    except OSError:
        old.rename(target)
        raise


def _check(directory: Path, target: Path) -> None:
    missing = [name for name in SOURCES if not (directory / name).is_file()]
    if missing:
        raise UserError(
            f"'{directory}' is not a results directory: it has no {', '.join(missing)}; see lvmbench run"
        )
    if target.resolve() == directory.resolve():
        raise UserError(f"'{target}' is the results directory itself; publish to another folder")
    if target.exists() and not (target / "records.csv").is_file():
        raise UserError(f"'{target}' exists and is not a published leaderboard; give another folder")
    unfinished = int((read_results(directory)[0]["status"] == "interrupted").sum())
    if unfinished:
        runs = "1 run is" if unfinished == 1 else f"{unfinished} runs are"
        raise UserError(
            f"'{directory}': {runs} unfinished (interrupted); finish them with the same lvmbench run"
        )


def suite_of(directory: Path) -> dict[str, Any]:
    """The keys of the suite that a results directory was made by; raises `UserError` where they cannot be read."""
    path = directory / "suite.yaml"
    if not path.is_file():
        return {}
    try:
        suite = YAML(typ="safe").load(path)
    except YAMLError as error:
        raise UserError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from error
    return suite if isinstance(suite, dict) else {}


def _readme(directory: Path, name: str, origin: Origin) -> str:
    """What the folder holds, what made it and how to redo it."""
    environments = _environments(directory)
    versions = dict.fromkeys(str(e["lvmbench"]) for e in environments if "lvmbench" in e) or [
        lvmbench.__version__
    ]
    hardware = list(dict.fromkeys(filter(None, map(_hardware, environments))))
    lines = [
        f"# {printable(name)}",
        "",
        f"Made with lvmbench {', '.join(versions)}" + (f" on {'; '.join(hardware)}." if hardware else "."),
        "",
        "`suite.yaml` is what was run, `records.csv` has every planned run with its status, `measurements.csv` every",
        "figure; `leaderboard.csv`, `leaderboard.md` and the pictures are made from these. To read them by any other metric:",
        "`lvmbench leaderboard FOLDER --metric NAME`, or `lvmbench.load(FOLDER)` in Python.",
        "",
        *redo(origin, name),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _changes(target: Path) -> str:
    """What the README of a board that was published before says under `CHANGES`, which somebody wrote by hand."""
    before = target / "README.md"
    text = before.read_text(encoding="utf-8") if before.is_file() else ""
    return f"\n{CHANGES}{rest}" if (rest := text.partition(CHANGES)[2]) else ""


def _environments(directory: Path) -> list[dict[str, Any]]:
    """The descriptions of the machines, as a results directory has them by their identifiers."""
    path = directory / "environment.json"
    if not path.is_file():
        return []
    return list(json.loads(path.read_text(encoding="utf-8")).values())


def _hardware(environment: dict[str, Any]) -> str:
    cores, memory = environment.get("cores"), environment.get("memory_gib")
    devices = (environment.get("cuda") or {}).get("devices") or []
    parts = [
        environment.get("processor"),
        f"{cores} cores" if cores else None,
        f"{memory} GiB" if memory else None,
    ]
    return ", ".join(str(part) for part in [*parts, *devices] if part)
