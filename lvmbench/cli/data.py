"""Commands about data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from lvmbench.cli.options import Blocked, Plugins
from lvmbench.errors import UserError
from lvmbench.text import printable

app = typer.Typer(
    help="List the data sets, fetch their raw files, say where these are kept.", no_args_is_help=True
)


@app.command("list")
def list_(plugin: Plugins = [], no_plugin: Blocked = []) -> None:  # noqa: B006
    """List the data sets, with what of their raw files is here.

    Example: lvmbench data list
    """
    from lvmbench.api.survey import FILES, survey
    from lvmbench.registry.loader import PluginSelection

    found: dict[str, str] = survey(FILES, PluginSelection.of(plugin, no_plugin))
    width = max(map(len, found), default=0)
    for name, files in found.items():
        print(printable(f"{name:{width}}  {files}"))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="The name of a data set.")],
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Fetch the raw files of a data set, checked against their checksums.

    Example: lvmbench data fetch mnist
    """
    from lvmbench.api.survey import RAW, survey
    from lvmbench.data.files import fetch as get
    from lvmbench.registry.loader import PluginSelection

    files = survey(RAW, PluginSelection.of(plugin, no_plugin), name)
    if not files:
        raise UserError(f"dataset '{name}' has no raw files: it is generated, built in or your own")
    for file in files:
        print(f"{get(file)}")


@app.command()
def where() -> None:
    """Say where raw files are kept (LVMBENCH_DATA sets it), and what was parsed of them (LVMBENCH_CACHE).

    Example: lvmbench data where
    """
    from lvmbench.data.cache import cache_home
    from lvmbench.data.files import data_home

    print(f"raw files    {data_home()}")
    print(f"parsed data  {cache_home()}")
