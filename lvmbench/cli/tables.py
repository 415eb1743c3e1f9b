"""Commands that read results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lvmbench.cli.options import Directory, StoreUrl, open_store, results_directory
from lvmbench.errors import UserError, nearest


def leaderboard(
    directory: Directory,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Rank by this metric instead of the suite's.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which split's figures.")] = "test",
    format_: Annotated[
        Literal["table", "csv", "md", "json"], typer.Option("--format", help="How to write it.")
    ] = "table",
    store: StoreUrl = None,
) -> None:
    """Show the leaderboard of a results directory, ranked by any metric.

    Example: lvmbench leaderboard lvmbench-results/quick --metric nmi --format md
    """
    from lvmbench.leaderboard import leaderboard as ranked_by
    from lvmbench.leaderboard import suite_leaderboard
    from lvmbench.render import to_csv, to_json, to_markdown
    from lvmbench.results import tables
    from lvmbench.terminal import to_rich

    opened = open_store(directory, store)
    records, measurements = tables(opened)
    splits = set(measurements["split"])
    if splits and split not in splits:
        raise UserError(f"--split: nothing was measured on '{split}'{nearest(split, splits)}")
    if metric:
        board = ranked_by(records, measurements, metric, split)
    else:
        board = suite_leaderboard(records, measurements, opened.meta().get("metric"), split)
    if format_ == "table":
        from lvmbench.cli.display import console

        for table in to_rich(board, width=min(console.width, 140)):
            console.print(table)
        return
    renderers = {
        "csv": lambda: to_csv(board),
        "json": lambda: to_json(board),
        "md": lambda: to_markdown(board, records),
    }
    typer.echo(renderers[format_](), nl=False)


def publish(
    directory: Directory,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The folder to publish to: leaderboards/NAME.")
    ],
) -> None:
    """Copy suite, records, measurements and tables to a folder that can be committed, with how to redo them.

    Example: lvmbench publish lvmbench-results/quick leaderboards/quick
    """
    from lvmbench.publish import publish as copy

    copy(results_directory(directory), target)
    typer.echo(f"published {directory} to {target}")
