"""Commands about data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lvmbench.cli.options import Blocked, Plugins
from lvmbench.errors import Unavailable, UserError

if TYPE_CHECKING:
    from lvmbench.registry.catalogue import Entry

app = typer.Typer(
    help="List the data sets, fetch their raw files, say where these are kept.", no_args_is_help=True
)


def _raw_files(entry: Entry) -> str:
    """What is here of the raw files of a data set."""
    from lvmbench.data.files import present

    try:
        files = entry.load().files
    except Unavailable as error:
        return f"unavailable: {error}"
    here = sum(present(f) is not None for f in files)
    return f"{here} of {len(files)} raw files here" if files else "generated, built in or yours: no raw files"


@app.command("list")
def list_(plugin: Plugins = [], no_plugin: Blocked = []) -> None:  # noqa: B006
    """List the data sets, with what of their raw files is here.

    Example: lvmbench data list
    """
    from lvmbench.registry.loader import PluginSelection, load_catalogue

    entries = load_catalogue(PluginSelection.of(plugin, no_plugin)).entries("dataset")
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:{width}}  {_raw_files(entry)}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="The name of a data set.")],
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Fetch the raw files of a data set, checked against their sha256.

    Example: lvmbench data fetch mnist
    """
    from lvmbench.data.files import fetch as get
    from lvmbench.registry.loader import PluginSelection, load_catalogue

    files = load_catalogue(PluginSelection.of(plugin, no_plugin)).entry("dataset", name).load().files
    if not files:
        raise UserError(f"dataset '{name}' has no raw files: it is generated, built in or your own")
    for file in files:
        print(f"{get(file)}")


@app.command()
def where() -> None:
    """Say where raw files are kept: LVMBENCH_DATA, or the user's cache folder.

    Example: lvmbench data where
    """
    from lvmbench.data.files import data_home

    print(str(data_home()))
