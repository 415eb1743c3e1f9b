"""Commands that publish results, and hold them to what is on record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lvmbench.cli.options import (
    Allowed,
    Directory,
    StoreUrl,
    Trust,
    consent_to,
    open_store,
    opened_results,
    require_store,
    results_directory,
)
from lvmbench.errors import UserError
from lvmbench.text import printable, shell

if TYPE_CHECKING:
    from lvmbench.api.verification import Check
    from lvmbench.results.consent import Consent
    from lvmbench.results.publish import Made


def publish(
    directory: Directory,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The folder to publish to: leaderboards/NAME.")
    ],
    weights: Annotated[
        bool, typer.Option("--weights", help="Publish the weights too, so that figures can be verified.")
    ] = False,
    plugin: Allowed = [],  # noqa: B006
    trust: Trust = False,
    store: StoreUrl = None,
) -> None:
    """Copy suite, plugins, records, measurements and tables to a folder that can be committed,
    with how to redo them.

    Example: lvmbench publish lvmbench-results/quick leaderboards/quick
    """
    from lvmbench.results.publish import publish as copy

    results_directory(directory)
    consent = consent_to(plugin, trust=trust)
    copy(directory, target, _made(directory, store, consent, weights=weights))
    print(printable(f"published {directory} to {target}"))


def _made(directory: Path, url: str | None, consent: Consent, *, weights: bool) -> Made:
    """What results were made with, which are to be complete."""
    from lvmbench.results.folder import is_published
    from lvmbench.results.missing import expect_measured
    from lvmbench.results.publish import Made

    if url is None and is_published(directory):
        raise UserError(f"'{directory}' is a published board already; copy it as it is")
    with open_store(directory, url) as opened:
        expect_measured(opened, directory)
        return Made.of(opened, consent, weights=weights)


def verify(
    directory: Directory,
    sample: Annotated[int, typer.Option("--sample", min=0, help="How many runs to measure again.")] = 3,
    seed: Annotated[
        int | None, typer.Option("--seed", help="What chooses them (default: another each time).")
    ] = None,
    plugin: Allowed = [],  # noqa: B006
    trust: Trust = False,
    store: StoreUrl = None,
) -> None:
    """Hold results, or a published board, to what is on record: checksums, tables, figures measured again.

    What differs is named, and so is what cannot be verified; exit code 1 where anything differs.

    Example: lvmbench verify lvmbench-results/quick --sample 5
    """
    from lvmbench.api.progress import say

    results = opened_results(directory, store, plugin, trust=trust)
    found = results.verify(sample, seed)
    say(f"{directory}: runs to measure again chosen by --seed {found.seed}")
    for check in found.checks:
        _show(check)
    if found.wrong:
        raise typer.Exit(1)


def merge(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR DIR...", help="Results of one suite.")],
    out: Annotated[Path, typer.Option("--out", help="The directory to make.")],
) -> None:
    """Put results of one suite together, such as those of several machines or of several seeds.

    Example: lvmbench merge results/a results/b --out results/both
    """
    from lvmbench.api.progress import counted, say
    from lvmbench.results.merging import merge as put_together

    if len({directory.resolve() for directory in directories}) < 2:
        raise UserError("merge takes two results directories or more: lvmbench merge DIR DIR --out DIR")
    for directory in directories:
        require_store(directory, None)
    merged = put_together(directories, out)
    for directory, taken in merged.taken.items():
        say(f"{directory}: {counted(taken, 'run')}")
    if merged.shared:
        say(f"{counted(merged.shared, 'run')} of several directories: the first that is ok is taken")
    say(f"wrote to {out}/; show it with lvmbench leaderboard {shell(out)}")


def _show(check: Check) -> None:
    """How many are as on record, and the lines that say what is not."""
    from rich.text import Text

    from lvmbench.api.progress import say

    held = check.right + len(check.wrong)
    if held:
        say(f"{check.what}: {check.right} of {held} as on record")
    for line in check.wrong:
        say(Text(f"  differs: {line}", style="bold red"))
    for line in check.unknown:
        say(Text(f"{'  ' if held else f'{check.what}: '}cannot be verified: {line}", style="yellow"))
