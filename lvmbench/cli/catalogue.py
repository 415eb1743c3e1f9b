"""Commands about components and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lvmbench.cli.options import Blocked, Plugins, warn
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import KINDS
from lvmbench.text import printable

if TYPE_CHECKING:
    from lvmbench.registry.catalogue import Catalogue


def _load(plugins: list[str], blocked: list[str]) -> Catalogue:
    from lvmbench.registry.loader import PluginSelection, load_catalogue

    return load_catalogue(PluginSelection.of(plugins, blocked))


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
    catalogue = _load(plugin, no_plugin)
    warn(catalogue.problems)
    entries = catalogue.entries(kind)
    fields = ("kind", "name", "plugin", "distribution", "version", "summary")
    rows = [{field: getattr(entry, field) for field in fields} for entry in entries]
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
    catalogue = _load(plugin, no_plugin)
    entries = [e for e in catalogue.entries(kind) if e.name == name]
    if not entries:
        known = {e.name for e in catalogue.entries(kind)}
        raise UserError(f"unknown {kind or 'component or suite'} '{name}'{nearest(name, known)}")
    from lvmbench.cli.component import show_entry

    warn(catalogue.problems)
    for entry in entries:
        show_entry(entry, catalogue)


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

    catalogue = _load(plugin, no_plugin)
    rows: dict[tuple[str, str, str], list[str]] = {}
    for entry in catalogue.entries():
        rows.setdefault((entry.plugin, entry.distribution, entry.version), []).append(entry.label)
    if json:
        import json as writer

        loaded = [
            dict(zip(("plugin", "distribution", "version"), k, strict=True), registers=v)
            for k, v in rows.items()
        ]
        print(
            writer.dumps({"plugins": loaded, "problems": [asdict(p) for p in catalogue.problems]}, indent=2)
        )
        return
    for (name, distribution, version), labels in rows.items():
        print(f"{name} ({distribution} {version}): {len(labels)} registered")
    for problem in catalogue.problems:
        print(printable(f"problem: {problem}"))
        if traceback:
            print(printable(problem.traceback))
    if not catalogue.problems:
        print("no problems")


def doctor() -> None:
    """Check the installation: versions, devices, threads, data folder, plugins.

    Example: lvmbench doctor
    """
    from lvmbench.data.cache import cache_home
    from lvmbench.data.files import data_home
    from lvmbench.execution.environment import environment
    from lvmbench.training import pick_device

    catalogue = _load([], [])
    machine = environment()
    print(f"lvmbench {machine['lvmbench']}   python {machine['python']}   {machine['system']}")
    print("packages: " + ", ".join(f"{name} {version}" for name, version in machine["packages"].items()))
    print(f"device: {pick_device()}   CUDA: {', '.join(machine['cuda']['devices']) or 'none'}")
    print(f"cores: {machine['cores']} ({machine['processor']})   memory: {machine['memory_gib']} GiB")
    for what, folder in {"raw data": data_home(), "parsed data": cache_home()}.items():
        print(f"{what}: {folder}{'' if folder.is_dir() else ' (not there yet)'}")
    broken = [
        (e, message) for e in catalogue.entries() if e.kind != "suite" and (message := _import_problem(e))
    ]
    print(f"components: {len(catalogue.entries())} registered, {len(broken)} cannot be used")
    for message in [m for _, m in broken] + [str(p) for p in catalogue.problems]:
        print(printable(f"problem: {message}"))
    if broken or catalogue.problems:
        raise typer.Exit(1)
    print("all is well")


def _import_problem(entry: object) -> str | None:
    from lvmbench.errors import Unavailable
    from lvmbench.registry.catalogue import Entry

    assert isinstance(entry, Entry)
    try:
        entry.load()
    except Unavailable as error:
        return str(error)
    return None
