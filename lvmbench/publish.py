"""Publishing a leaderboard: the suite, the records and the table made from them, in one folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import lvmbench
from lvmbench.claims import judge
from lvmbench.errors import UserError
from lvmbench.leaderboard import read_results, suite_leaderboard
from lvmbench.render import to_csv, to_markdown

SOURCES = ("suite.yaml", "records.csv", "measurements.csv")
"""The files of a results directory from which everything else is made."""
REMARKS = "remarks.json"
"""The file of a results directory that says, by data set, what to know of the data."""


def rebuild(directory: Path) -> pd.DataFrame:
    """Make the leaderboard again from a directory's records, measurements and its suite's ``metric``, if any.

    Raises `UserError` where the directory has no results.
    """
    records, measurements = read_results(directory)
    suite = suite_of(directory)
    metric = suite.get("metric")
    board = suite_leaderboard(records, measurements, None if metric is None else str(metric))
    return judged(board, directory, records, measurements)


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
    from lvmbench.plots import leaderboard_figure, save
    from lvmbench.rate_distortion import rate_distortion_figure

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


def publish(directory: Path, target: Path) -> None:
    """Copy a finished suite to ``target``, with its board made again from the records and how to redo it.

    ``target`` appears complete or not at all; a board published there before is replaced.

    Arguments:
        directory: The results directory of ``lvmbench run``.
        target: The folder to make, such as ``leaderboards/NAME``.

    Raises `UserError` where the directory has no results or unfinished runs, or ``target`` is something else.
    """
    _check(directory, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        made, old = Path(scratch) / "new", Path(scratch) / "old"
        made.mkdir()
        for name in SOURCES:
            shutil.copyfile(directory / name, made / name)
        if (directory / REMARKS).is_file():
            shutil.copyfile(directory / REMARKS, made / REMARKS)
        write_board(made, made)
        (made / "README.md").write_text(_readme(directory, target.name), encoding="utf-8")
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


def _readme(directory: Path, name: str) -> str:
    """How to redo the board: the command, the version and, where it is known, the hardware."""
    environments = _environments(directory / "environment.json")
    versions = dict.fromkeys(str(e["lvmbench"]) for e in environments if "lvmbench" in e) or [
        lvmbench.__version__
    ]
    hardware = list(dict.fromkeys(filter(None, map(_hardware, environments))))
    lines = [
        f"# {name}",
        "",
        f"Made with lvmbench {', '.join(versions)}" + (f" on {'; '.join(hardware)}." if hardware else "."),
        "",
        "`suite.yaml` is what was run, `records.csv` has every planned run with its status,",
        "`measurements.csv` every figure; `leaderboard.csv`, `leaderboard.md` and `leaderboard.svg` are made",
        "from these. To redo it, in this folder:",
        "",
        "```",
        f"lvmbench run suite.yaml --out {name}",
        f"lvmbench leaderboard {name}",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _environments(path: Path) -> list[dict[str, Any]]:
    """The description of the machine, or of each by its identifier where there were several."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    several = found.values() if isinstance(found, dict) and "lvmbench" not in found else [found]
    return [environment for environment in several if isinstance(environment, dict)]


def _hardware(environment: dict[str, Any]) -> str:
    cores, memory = environment.get("cores"), environment.get("memory_gib")
    devices = (environment.get("cuda") or {}).get("devices") or []
    parts = [
        environment.get("processor"),
        f"{cores} cores" if cores else None,
        f"{memory} GiB" if memory else None,
    ]
    return ", ".join(str(part) for part in [*parts, *devices] if part)
