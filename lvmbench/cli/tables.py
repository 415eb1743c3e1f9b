"""Commands that read results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lvmbench.cli.options import Directory, StoreUrl, open_store, require_store, results_directory
from lvmbench.errors import UserError
from lvmbench.text import printable

if TYPE_CHECKING:
    from lvmbench.api.results import Results
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
    from lvmbench.results.board import Board
    from lvmbench.results.markdown import to_markdown

    board = _results(directory, store).board(metric, split)
    if format_ == "table":
        from lvmbench.cli.shown import show_board

        show_board(board)
        return
    writers = {"csv": Board.to_csv, "json": Board.to_json, "md": to_markdown}
    print(writers[format_](board), end="")


def _results(directory: Path, url: str | None) -> Results:
    """The results in a store, or those of a published board."""
    from lvmbench.api.results import Results
    from lvmbench.results.folder import is_published

    if url is not None or not is_published(directory):
        require_store(directory, url)
    return Results(directory, url)


def publish(
    directory: Directory,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The folder to publish to: leaderboards/NAME.")
    ],
    store: StoreUrl = None,
) -> None:
    """Copy suite, plugins, records, measurements and tables to a folder that can be committed,
    with how to redo them.

    Example: lvmbench publish lvmbench-results/quick leaderboards/quick
    """
    from lvmbench.results.publish import publish as copy

    results_directory(directory)
    copy(directory, target, _selection(directory, store))
    print(printable(f"published {directory} to {target}"))


def _selection(directory: Path, url: str | None) -> PluginSelection:
    """The plugins that results were made with."""
    from lvmbench.results.folder import is_published, plugins_of

    if url is None and is_published(directory):
        raise UserError(f"'{directory}' is a published board already; copy it as it is")
    with open_store(directory, url) as opened:
        return plugins_of(opened)
