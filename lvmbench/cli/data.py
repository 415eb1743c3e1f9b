"""Commands about data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lvmbench.errors import UserError

if TYPE_CHECKING:
    from lvmbench.rawdata import RawFile

app = typer.Typer(
    help="List the data sets, fetch their raw files, say where these are kept.", no_args_is_help=True
)


def _files() -> dict[str, tuple[RawFile, ...]]:
    """The raw files of each data set."""
    from lvmbench.plugins import load_catalogue

    return {e.name: e.load().files for e in load_catalogue().entries("dataset")}


@app.command("list")
def list_() -> None:
    """List the data sets, with what of their raw files is here.

    Example: lvmbench data list
    """
    from lvmbench.rawdata import data_home

    for name, files in _files().items():
        here = sum((data_home() / f.path).is_file() for f in files)
        what = (
            "generated, built in or yours: no raw files"
            if not files
            else f"{here} of {len(files)} raw files here"
        )
        typer.echo(f"{name:20} {what}")


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="The name of a data set.")]) -> None:
    """Fetch the raw files of a data set, checked against their sha256.

    Example: lvmbench data fetch mnist
    """
    from lvmbench.plugins import load_catalogue
    from lvmbench.rawdata import fetch as get

    files = load_catalogue().entry("dataset", name).load().files
    if not files:
        raise UserError(f"dataset '{name}' has no raw files: it is generated, built in or your own")
    for file in files:
        typer.echo(f"{get(file)}")


@app.command()
def where() -> None:
    """Say where raw files are kept: LVMBENCH_DATA, or the user's cache folder.

    Example: lvmbench data where
    """
    from lvmbench.rawdata import data_home

    typer.echo(str(data_home()))
