"""Publishing a leaderboard: the suite, the records and the table made from them, in one folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvmbench import __version__
from lvmbench.errors import UserError
from lvmbench.registry.loader import PluginSelection
from lvmbench.results.consent import Consent
from lvmbench.results.export import ENVIRONMENTS, write_board
from lvmbench.results.folder import REMARKS, plugins_of, rebuild
from lvmbench.results.glossary import FIGURES
from lvmbench.results.provenance import Components, components_of, write_provenance
from lvmbench.results.redo import Origin, origin_of, redo
from lvmbench.results.store import Store
from lvmbench.results.tables import (
    BASELINES,
    CURVES,
    EVALUATIONS,
    MEASUREMENTS,
    RECORDS,
    read_object,
    read_results,
    read_table,
)
from lvmbench.results.weights import WEIGHTS, fault, unusable, weights_file
from lvmbench.text import printable

CHANGES = "## What changed"
"""The heading in a published README below which everything is kept when the board is published anew."""
SOURCES = ("suite.yaml", RECORDS, MEASUREMENTS)
"""The files of a results directory from which everything else is made."""
OTHERS = (EVALUATIONS, CURVES, BASELINES, ENVIRONMENTS, REMARKS, FIGURES)
"""What else of a results directory is published, where it is there."""


@dataclass(frozen=True)
class Made:
    """What the runs of a store were made with, which a board is published with.

    Arguments:
        selection: The plugins that were loaded beside the installed ones.
        components: Versions of components, and checksums of data.
        weights: The checksums of the weights that are published too, by key.
    """

    selection: PluginSelection = field(default_factory=PluginSelection)
    components: Components = field(default_factory=dict)
    weights: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, consent: Consent | None = None, *, weights: bool = False) -> Made:
        """What a store says; its weights are published only if they are asked for.

        Raises `UserError` where plugins of it are not to be imported.
        """
        selection = (consent or Consent()).to(plugins_of(store))
        return cls(selection, components_of(store), store.checksums() if weights else {})


def publish(directory: Path, target: Path, made: Made | None = None) -> None:
    """Copy a finished suite to ``target``, with its plugins, its board made again from the records,
    and how to redo it.

    ``target`` appears complete or not at all; a board published there before is replaced.

    Arguments:
        directory: The results directory of ``lvmbench run``.
        target: The folder to make, such as ``leaderboards/NAME``.
        made: What the runs were made with.

    Raises `UserError` where the directory has no results or unfinished runs, ``target`` is something else,
    or plugins or weights are no longer what the runs were made with.
    """
    target = Path(os.path.abspath(target))
    made = made or Made()
    _check(directory, target)
    _check_weights(directory, made.weights)
    origin = origin_of(directory, _environments(directory), made.selection)
    plugins = origin.files
    readme = _readme(directory, target.name, origin) + _changes(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        present = (name for name in OTHERS if (directory / name).is_file())
        for file in (*(directory / name for name in (*SOURCES, *present)), *plugins):
            shutil.copyfile(file, new / file.name)
        write_provenance(new, made.selection, made.components, [*new.iterdir()])
        _copy_weights(directory, new, made.weights)
        render(new)
        (new / "README.md").write_text(readme, encoding="utf-8")
        _replace(new, target, old)


def render(directory: Path) -> None:
    """Make the tables and the pictures of a published board from what else is in its folder."""
    curves = read_table(directory / CURVES) if (directory / CURVES).is_file() else None
    write_board(rebuild(directory), curves, directory)


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


def _check_weights(directory: Path, weights: Mapping[str, str | None]) -> None:
    for key, sha256 in weights.items():
        file = weights_file(directory / WEIGHTS, key)
        if wrong := fault(file, sha256):
            raise UserError(unusable(file, wrong))


def _copy_weights(directory: Path, target: Path, weights: Mapping[str, str | None]) -> None:
    if weights:
        (target / WEIGHTS).mkdir()
    for key in weights:
        shutil.copyfile(weights_file(directory / WEIGHTS, key), weights_file(target / WEIGHTS, key))


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


def _readme(directory: Path, name: str, origin: Origin) -> str:
    """What the folder holds, what made it and how to redo it."""
    environments = _environments(directory)
    versions = dict.fromkeys(str(e["lvmbench"]) for e in environments if "lvmbench" in e) or [__version__]
    hardware = list(dict.fromkeys(filter(None, map(_hardware, environments))))
    lines = [
        f"# {printable(name)}",
        "",
        f"Made with lvmbench {', '.join(versions)}" + (f" on {'; '.join(hardware)}." if hardware else "."),
        "",
        "`suite.yaml` is what was run, `records.csv` has every planned run with its status,",
        "`measurements.csv` every figure, and `figures.csv` says what each is; `leaderboard.csv`,",
        "`leaderboard.md` and the pictures are made from these. To read them by another metric:",
        "`lvmbench leaderboard FOLDER --metric NAME`, or `lvmbench.load(FOLDER)` in Python.",
        "`provenance.json` has the versions of the components and the checksums of data and files, and",
        "`lvmbench verify FOLDER` holds the folder to them.",
        "",
        *redo(origin, name),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _changes(target: Path) -> str:
    """What the README of a board that was published before says under `CHANGES`,
    which somebody wrote by hand.
    """
    before = target / "README.md"
    text = before.read_text(encoding="utf-8") if before.is_file() else ""
    return f"\n{CHANGES}{rest}" if (rest := text.partition(CHANGES)[2]) else ""


def _environments(directory: Path) -> list[dict[str, Any]]:
    """The descriptions of the machines, as a results directory has them by their identifiers."""
    return list(read_object(directory / ENVIRONMENTS).values())


def _hardware(environment: dict[str, Any]) -> str:
    cores, memory = environment.get("cores"), environment.get("memory_gib")
    devices = (environment.get("cuda") or {}).get("devices") or []
    parts = [
        environment.get("processor"),
        f"{cores} cores" if cores else None,
        f"{memory} GiB" if memory else None,
    ]
    return ", ".join(str(part) for part in [*parts, *devices] if part)
