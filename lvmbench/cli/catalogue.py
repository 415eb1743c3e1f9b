"""Commands about components and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvmbench.cli.options import Blocked, Plugins, warn
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import KINDS
from lvmbench.text import printable

if TYPE_CHECKING:
    from lvmbench.api.survey import Listing


def _survey(work: str, plugins: list[str], blocked: list[str], about: Any = None) -> Any:
    """What some work of `lvmbench.api.survey` finds of plugins."""
    from lvmbench.api.survey import survey
    from lvmbench.registry.loader import PluginSelection

    return survey(work, PluginSelection.of(plugins, blocked), about)


def _listing(plugins: list[str], blocked: list[str]) -> Listing:
    from lvmbench.api.survey import LISTED

    listing: Listing = _survey(LISTED, plugins, blocked)
    return listing


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        raise UserError(f"unknown kind '{kind}'{nearest(kind, KINDS)}")


def list_(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As a JSON array of objects.")] = False,
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """List the components that are registered, and whose they are.

    Example: lvmbench list posterior
    """
    _check_kind(kind)
    listing = _listing(plugin, no_plugin)
    warn(listing.problems)
    rows = [one.row for one in listing.of_kind(kind)]
    if json:
        import json as writer

        print(writer.dumps(rows, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from lvmbench.api.progress import console

    table = Table("kind", "name", "distribution", "summary", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(
            row["kind"], row["name"], f"{row['distribution']} {row['version']}", Text(row["summary"])
        )
    console.print(table)


def show(
    name: Annotated[str, typer.Argument(help="The name of a component or suite, or kind/name.")],
    kind: Annotated[
        str | None, typer.Option("--kind", help="Which kind, where several have this name.")
    ] = None,
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Show what a component is: formula, reference, options with types and defaults,
    what it provides and requires.

    Example: lvmbench show mixture

    Example: lvmbench show evaluator/tightness
    """
    head, _, rest = name.partition("/")
    kind, name = (head, rest) if kind is None and head in KINDS and rest else (kind, name)
    _check_kind(kind)
    from rich.text import Text

    from lvmbench.api.progress import console
    from lvmbench.cli.component import SHOWN

    problems, pieces = _survey(SHOWN, plugin, no_plugin, (kind, name, console.width))
    warn(problems)
    for piece in pieces:
        console.print(piece, soft_wrap=isinstance(piece, Text) and bool(piece.no_wrap))


def plugins(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show what a broken plugin raised.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As a JSON object of plugins and problems.")] = False,
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """List the plugins, what each registers, and what is wrong with the ones that do not load.

    Example: lvmbench plugins --traceback
    """
    from dataclasses import asdict

    listing = _listing(plugin, no_plugin)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in listing.registered:
        rows.setdefault((one.plugin, one.distribution, one.version), []).append(one.label)
    if json:
        import json as writer

        loaded = [
            dict(zip(("plugin", "distribution", "version"), k, strict=True), registers=v)
            for k, v in rows.items()
        ]
        print(writer.dumps({"plugins": loaded, "problems": [asdict(p) for p in listing.problems]}, indent=2))
        return
    for (name, distribution, version), labels in rows.items():
        print(f"{name} ({distribution} {version}): {len(labels)} registered")
    for problem in listing.problems:
        print(printable(f"problem: {problem}"))
        if traceback:
            print(printable(problem.traceback))
    if not listing.problems:
        print("no problems")


def doctor() -> None:
    """Check the installation: versions, devices, threads, data folder, plugins.

    Example: lvmbench doctor
    """
    from lvmbench.api.survey import USABLE
    from lvmbench.data.cache import cache_home
    from lvmbench.data.files import data_home
    from lvmbench.execution.environment import environment
    from lvmbench.training import pick_device

    listing, broken = _survey(USABLE, [], [])
    machine = environment()
    print(f"lvmbench {machine['lvmbench']}   python {machine['python']}   {machine['system']}")
    print("packages: " + ", ".join(f"{name} {version}" for name, version in machine["packages"].items()))
    print(f"device: {pick_device()}   CUDA: {', '.join(machine['cuda']['devices']) or 'none'}")
    print(f"cores: {machine['cores']} ({machine['processor']})   memory: {machine['memory_gib']} GiB")
    for what, folder in {"raw data": data_home(), "parsed data": cache_home()}.items():
        print(f"{what}: {folder}{'' if folder.is_dir() else ' (not there yet)'}")
    print(f"components: {len(listing.registered)} registered, {len(broken)} cannot be used")
    for message in [*broken, *map(str, listing.problems)]:
        print(printable(f"problem: {message}"))
    if broken or listing.problems:
        raise typer.Exit(1)
    print("all is well")
