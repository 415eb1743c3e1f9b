"""The command that checks components."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvmbench.cli.options import Blocked, Plugins, warn
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import COMPONENTS

if TYPE_CHECKING:
    from lvmbench.checks.report import Report


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME_OR_FILE",
            help="A component, as name, kind/name or name\\[option=value]; or a plugin file: all "
            "that it registers.",
        ),
    ],
    kind: Annotated[
        str | None, typer.Option("--kind", help="Which kind, where several have this name.")
    ] = None,
    only: Annotated[
        list[str], typer.Option("--only", metavar="CHECK", help="Only this check; may be repeated.")
    ] = [],  # noqa: B006
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every check, with its contract.")
    ] = False,
    plugin: Plugins = [],  # noqa: B006
    no_plugin: Blocked = [],  # noqa: B006
) -> None:
    """Check that a component keeps the contract of its kind:
    shapes, densities, gradients, noise, declarations.

    Example: lvmbench check my_plugin.py
    """
    if kind is not None and kind not in COMPONENTS:
        raise UserError(f"unknown kind '{kind}'{nearest(kind, COMPONENTS)}")
    if target.endswith(".py") and not Path(target).is_file():
        raise UserError(f"no file '{target}'; give a plugin file or the name of a component")
    from lvmbench.api.survey import CHECKED, survey
    from lvmbench.registry.loader import PluginSelection

    selection = PluginSelection.of(plugin, no_plugin)
    about = (target, kind, only or None)
    problems, report = survey(CHECKED, selection, about, foreign=target.endswith(".py"))
    warn(problems)
    _show(report, verbose)
    if not report.ok:
        raise typer.Exit(1)


def _show(report: Report, verbose: bool) -> None:
    """Each failure with what is due, what came, where to read and what to mend first.

    The other checks in one line each where asked for; the counts.
    """
    from rich.text import Text

    from lvmbench.api.progress import say

    untried = [r for r in report if r.check == "data_are_admitted" and r.status == "skipped"]
    rest = [result for result in report if result.status != "failed"] if verbose else untried
    for result in [*rest, *report.failed]:
        note = result.reason if result.status in ("skipped", "expected") else result.message
        if result.status != "failed":
            say(Text(f"{result.status:8} ", STYLES[result.status]) + Text(f"{result.name}  {note}".rstrip()))
            continue
        say(Text(f"{result.status:8} ", STYLES[result.status]) + Text(result.name, "bold"))
        first = ", ".join(cause.check for cause in report.causes(result))
        lines = {"due": result.contract, "came": result.message, "read": result.read, "cause": first}
        for label, text in lines.items():
            say(Text(f"  {label:6} ", "dim") + Text(text)) if text else None
    for line in report.summary:
        say(line)


STYLES = {"failed": "bold red", "passed": "green", "skipped": "dim", "expected": "yellow"}
