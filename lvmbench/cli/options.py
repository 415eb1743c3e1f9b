"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvmbench.errors import UserError
from lvmbench.text import printable

if TYPE_CHECKING:
    from lvmbench.api.results import Results
    from lvmbench.registry.catalogue import PluginProblem
    from lvmbench.results.consent import Consent
    from lvmbench.results.store import Store

Plugins = Annotated[
    list[str],
    typer.Option("--plugin", metavar="FILE_OR_MODULE", help="Load a local plugin too; may be repeated."),
]
Allowed = Annotated[
    list[str],
    typer.Option(
        "--plugin",
        metavar="FILE_OR_MODULE",
        help="Load a local plugin too, such as one that DIR names; may be repeated.",
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Import whatever local plugins DIR names: they are code.")
]
Blocked = Annotated[
    list[str], typer.Option("--no-plugin", metavar="NAME", help="Leave a plugin out; may be repeated.")
]
SuiteName = Annotated[
    str, typer.Argument(metavar="SUITE", help="A registered suite, or the path of a YAML file.")
]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A results directory.")]
StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="A database instead of DIR/store.sqlite.")
]
Only = Annotated[
    list[str],
    typer.Option(
        "--only", metavar="PATTERN", help="Only combinations with a part of this name; * and ? are wildcards."
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, mps, cuda or cuda:N.")]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", min=1, max=10_000, help="Seeds 0 ... N-1 instead of the suite's."),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=0,
        help="Worker processes (default: one per core, on a cluster all it has room for; 0: none).",
    ),
]
JobsPerGpu = Annotated[
    int | None,
    typer.Option(
        "--jobs-per-gpu",
        min=1,
        metavar="N",
        help="Worker processes per GPU (default: all are spread over the GPUs).",
    ),
]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="Where jobs are done: local, or ray, the machines of a cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="ADDR", help="Where Ray's cluster is, HOST:PORT or auto (default: started here)."
    ),
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Wall-clock limit per job.")
]
Memory = Annotated[
    float | None,
    typer.Option("--memory", min=0.001, metavar="GIB", help="End a job whose worker takes more memory."),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        "--max-failures", metavar="N|P%", help="Begin nothing new after more failed runs; or a part of them."
    ),
]
Apart = Annotated[
    bool,
    typer.Option("--apart", help="Train each combination by itself, for training times that compare."),
]
Checkpoint = Annotated[
    float | None,
    typer.Option(
        "--checkpoint",
        metavar="SECONDS",
        min=0.0,
        help="How often a training is saved, to go on from there (default: 300; 0: never).",
    ),
]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep-checkpoints", help="Keep where trainings end, so that more epochs or patience go on there."
    ),
]
TrackerNames = Annotated[
    list[str],
    typer.Option("--tracker", metavar="NAME", help="Let a tracker follow the run; may be repeated."),
]


def results_directory(directory: Path, file: str = "suite.yaml") -> Path:
    """A directory with results in it; raises `UserError` for another."""
    if not (directory / file).is_file():
        raise UserError(
            f"'{directory}' holds no results (it has no {file}); make some with lvmbench run SUITE --out DIR"
        )
    return directory


def open_store(directory: Path, url: str | None) -> Store:
    """The store of a results directory, which is not made where it is missing."""
    from lvmbench.results.store import Store

    require_store(directory, url)
    return Store.at(directory, url)


def require_store(directory: Path, url: str | None) -> None:
    """Refuse a folder that has no store."""
    from lvmbench.results.folder import is_published

    results_directory(directory)
    if url is None and is_published(directory):
        raise UserError(
            f"'{directory}' is a published board, which has neither store nor weights; its "
            "README.md says how to redo it"
        )
    if url is None:
        results_directory(directory, "store.sqlite")


def opened_results(
    directory: Path, url: str | None, plugins: Iterable[str] = (), *, trust: bool = False
) -> Results:
    """The results in a store, or those of a published board, with the plugins that are allowed."""
    from lvmbench.api.results import Results
    from lvmbench.results.folder import is_published

    if url is not None or not is_published(directory):
        require_store(directory, url)
    return Results(directory, url, consent_to(plugins, trust=trust))


def consent_to(plugins: Iterable[str], *, trust: bool) -> Consent:
    """What is allowed to be imported for the sake of results."""
    from lvmbench.registry.loader import PluginSelection
    from lvmbench.results.consent import Consent

    return Consent(PluginSelection.of(plugins), trust)


def warn(problems: Iterable[PluginProblem]) -> None:
    """Say which plugins do not work; the others do."""
    for problem in problems:
        print(printable(f"warning: {problem}"), file=sys.stderr)
