"""Commands that read results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lvmbench.cli.options import Directory, StoreUrl, open_store, results_directory
from lvmbench.errors import UserError, nearest
from lvmbench.text import printable

if TYPE_CHECKING:
    import pandas as pd

    from lvmbench.registry.loader import PluginSelection


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
    """Show the leaderboard of a results directory or of a published board, ranked by any metric.

    Example: lvmbench leaderboard lvmbench-results/quick --metric nmi --format md
    """
    from lvmbench.results.markdown import to_csv, to_json, to_markdown
    from lvmbench.results.publish import board_of

    records, measurements = _tables(directory, store)
    splits = set(measurements["split"])
    if splits and split not in splits:
        raise UserError(f"--split: nothing was measured on '{split}'{nearest(split, splits)}")
    board = board_of(records, measurements, directory, metric, split)
    if format_ == "table":
        from lvmbench.api.progress import show_board

        show_board(board)
        return
    renderers = {
        "csv": lambda: to_csv(board),
        "json": lambda: to_json(board),
        "md": lambda: to_markdown(board, records),
    }
    print(renderers[format_](), end="")


def _tables(directory: Path, url: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records and measurements of a store, or those of a published board."""
    from lvmbench.results.board import read_results
    from lvmbench.results.export import is_published, tables

    if url is None and is_published(directory):
        return read_results(directory)
    with open_store(directory, url) as opened:
        return tables(opened)


def publish(
    directory: Directory,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The folder to publish to: leaderboards/NAME.")
    ],
    store: StoreUrl = None,
) -> None:
    """Copy suite, plugins, records, measurements and tables to a folder that can be committed, with how to redo them.

    Example: lvmbench publish lvmbench-results/quick leaderboards/quick
    """
    from lvmbench.results.publish import publish as copy

    results_directory(directory)
    copy(directory, target, _selection(directory, store))
    print(printable(f"published {directory} to {target}"))


def _selection(directory: Path, url: str | None) -> PluginSelection:
    """The plugins that results were made with."""
    from lvmbench.results.export import is_published, plugins_of

    if url is None and is_published(directory):
        raise UserError(f"'{directory}' is a published board already; copy it as it is")
    with open_store(directory, url) as opened:
        return plugins_of(opened)
