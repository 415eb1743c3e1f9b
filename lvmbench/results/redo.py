"""How a published board is made again: what that needs, and the lines of a shell that do it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lvmbench.errors import Unavailable, UserError
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import HOME, PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.results.tables import read_results
from lvmbench.suites.suite import Suite, load_suite
from lvmbench.text import printable, shell


@dataclass(frozen=True)
class Origin:
    """What a results directory was made by.

    Arguments:
        directory: The results directory.
        selection: The plugins that were loaded beside the installed ones.
        distributions: What the components came from, each with the versions that were met.
        records: One row per run.
        later: The evaluators that were applied beside those of the suite.
    """

    directory: Path
    selection: PluginSelection
    distributions: Mapping[str, set[str]]
    records: pd.DataFrame
    later: Sequence[str]

    @property
    def datasets(self) -> list[Ref]:
        """The data sets of the runs."""
        return datasets_in(self.records)

    @property
    def files(self) -> list[Path]:
        """The plugin files; raises `UserError` for one that is no longer what the runs were made with."""
        files = [Path(text) for text in self.selection.extra if text.endswith(".py")]
        for file in files:
            versions = self.distributions.get(str(file), set())
            if not file.is_file():
                raise UserError(
                    f"the plugin '{file}' of these runs is gone; bring it back, it is published with them"
                )
            if versions and hashlib.sha256(file.read_bytes()).hexdigest()[:8] not in versions:
                raise UserError(
                    f"the plugin '{file}' was changed after these runs; run the suite anew with it, "
                    "or undo the change"
                )
        return files


def redo(origin: Origin, name: str) -> list[str]:
    """The lines of the README that say how to redo a board, in the folder where it is published."""
    commands, needs = recipe(origin, name, raw_sets(origin.selection, origin.datasets))
    listed = ["It needs:", "", *(f"- {printable(need)}" for need in needs)] if needs else []
    return ["To redo it, in a copy of this folder:", "", "```", *commands, "```", "", *listed]


def recipe(origin: Origin, name: str, raw: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines of a shell that redo a board, in a folder with its suite, and what that needs.

    Arguments:
        origin: What the results of the board were made with.
        name: The name of the board.
        raw: The names of its data sets that are made of raw files.
    """
    suite = load_suite(str(origin.directory / "suite.yaml"), load_catalogue(origin.selection))
    out = shell(name if not name.startswith("-") else f"./{name}")
    needs = [*_packages(origin), *_raw_files(raw), *_tables(origin.datasets), *_seeds(origin, suite)]
    commands = [
        *(f"lvmbench data fetch {dataset}" for dataset in dict.fromkeys(raw)),
        " ".join([f"lvmbench run suite.yaml --out {out}", *_options(origin, suite)]),
        *_evaluations(origin, out),
        f"lvmbench leaderboard {out}",
    ]
    return commands, needs


def datasets_in(records: pd.DataFrame) -> list[Ref]:
    """The data sets of runs."""
    return [Ref.parse(text) for text in records["dataset"].unique()]


def raw_sets(selection: PluginSelection, datasets: Iterable[Ref]) -> list[str]:
    """The names of those data sets that are made of raw files, which imports them all."""
    catalogue = load_catalogue(selection)
    return [ref.name for ref in datasets if _has_raw_files(catalogue, ref.name)]


def _has_raw_files(catalogue: Catalogue, dataset: str) -> bool:
    try:
        return bool(catalogue.entry("dataset", dataset).load().files)
    except Unavailable:
        return False


def _packages(origin: Origin) -> Iterator[str]:
    for name, versions in sorted(origin.distributions.items()):
        if name in origin.selection.extra and not name.endswith(".py"):
            yield f"the module `{name}`, where Python finds it"
        elif name != HOME and not name.endswith(".py"):
            yield f"the package `{name}` {', '.join(sorted(versions))}, installed"


def _raw_files(datasets: Sequence[str]) -> Iterator[str]:
    if datasets:
        yield (
            f"the raw files of {', '.join(f'`{name}`' for name in datasets)}, which `lvmbench data fetch` "
            "gets from their publishers where they are not yet in the folder that `lvmbench data where` "
            "names (`LVMBENCH_DATA` sets it)"
        )


def _tables(datasets: Iterable[Ref]) -> Iterator[str]:
    """The files of the user's own, which are not published."""
    for text in dict.fromkeys(str(ref.options["path"]) for ref in datasets if "path" in ref.options):
        path = Path(text).expanduser()
        sha256 = f" (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()})" if path.is_file() else ""
        where = "" if path.is_absolute() else " below this folder"
        yield f"the file `{text}`{where}, which is not published here{sha256}"


def _found_seeds(origin: Origin) -> list[int]:
    return sorted({int(seed) for seed in origin.records["seed"]})


def _seeds(origin: Origin, suite: Suite) -> Iterator[str]:
    """What the command line cannot say of seeds."""
    seeds = _found_seeds(origin)
    if seeds not in (sorted(suite.seeds), list(range(len(seeds)))):
        yield f"its seeds, which `lvmbench.run` takes in Python: `seeds={seeds}`"


def _options(origin: Origin, suite: Suite) -> Iterator[str]:
    seeds = _found_seeds(origin)
    if seeds != sorted(suite.seeds) and seeds == list(range(len(seeds))):
        yield f"--seeds {len(seeds)}"
    yield from _plugins(origin)
    for plugin in origin.selection.blocked:
        yield f"--no-plugin {shell(plugin)}"


def _plugins(origin: Origin) -> Iterator[str]:
    for plugin in origin.selection.extra:
        yield f"--plugin {shell(Path(plugin).name if plugin.endswith('.py') else plugin)}"


def _evaluations(origin: Origin, out: str) -> Iterator[str]:
    """The evaluators that were applied later."""
    if origin.later:
        names = (f"--evaluator {shell(name)}" for name in origin.later)
        yield " ".join([f"lvmbench evaluate {out}", *names, *_plugins(origin)])


def origin_of(
    directory: Path,
    environments: Iterable[Mapping[str, Any]],
    selection: PluginSelection,
    tables: tuple[pd.DataFrame, pd.DataFrame] | None = None,
) -> Origin:
    """What made a results directory, from its tables, which are read where they are not given,
    and the plugins that its store names.
    """
    distributions: dict[str, set[str]] = {}
    for environment in environments:
        for name, version in environment.get("plugins", {}).items():
            distributions.setdefault(name, set()).add(str(version))
    records, measurements = tables or read_results(directory)
    asked_by = measurements.get("asked_by", pd.Series("", index=measurements.index))
    later = measurements.loc[asked_by == "evaluate", "evaluator"].unique().tolist()
    return Origin(directory, selection, distributions, records, later)
