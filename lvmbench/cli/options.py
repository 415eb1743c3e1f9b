"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvmbench.errors import UserError
from lvmbench.plugins import PluginSelection

Plugins = Annotated[
    list[str],
    typer.Option("--plugin", metavar="FILE_OR_MODULE", help="Load a local plugin too; may be repeated."),
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
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=0, help="Worker processes (default: one per core; 0: none).")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Wall-clock limit per job.")
]


def selection(plugins: list[str], blocked: list[str]) -> PluginSelection:
    """The plugins of a command; files are made absolute, so that workers and later commands find them."""
    paths = [str(Path(p).resolve()) if p.endswith(".py") else p for p in plugins]
    return PluginSelection(tuple(paths), tuple(blocked))


def results_directory(directory: Path) -> Path:
    """A directory with results in it; raises `UserError` for another."""
    if not (directory / "suite.yaml").is_file():
        raise UserError(
            f"'{directory}' holds no results (it has no suite.yaml); make some with lvmbench run SUITE --out DIR"
        )
    return directory
