"""Commands that read results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lvmbench.cli.options import Directory, StoreUrl, open_store, require_store, results_directory
from lvmbench.errors import UserError
from lvmbench.text import printable

if TYPE_CHECKING:
    from lvmbench.api.results import Results
    from lvmbench.registry.loader import PluginSelection
    from lvmbench.results.board import Board
    from lvmbench.results.pivot import Pivot
    from lvmbench.results.sections import Section

Format = Literal["table", "csv", "md", "json", "latex"]


def leaderboard(
    directory: Directory,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Rank by this metric instead of the suite's.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which split's figures.")] = "test",
    where: Annotated[
        list[str],
        typer.Option(
            "--where", metavar="NAME=PATTERN", help="Only such runs: prior=vamp, latent=8; may be repeated."
        ),
    ] = [],  # noqa: B006
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="FIGURE", help="Order rows by this figure; ranks stay.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="AXIS", help="With --columns: one figure, by two axes.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="AXIS", help="The axis across: dataset, prior, latent, ..."),
    ] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Name the combinations that were refused.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", help="How to write it.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Show the leaderboard of a results directory or of a published board, ranked by any metric.

    Example: lvmbench leaderboard lvmbench-results/quick --metric nmi --format md

    Example: lvmbench leaderboard lvmbench-results/quick --rows prior --columns posterior --metric gap
    """
    board = _results(directory, store).board(metric, split, where)
    board = board.by(sort) if sort else board
    if rows is None and columns is None:
        _write_board(board, format_, refused)
    elif rows and columns:
        from lvmbench.results.pivot import Pivot

        _write_pivot(Pivot.of(board, rows, columns), format_)
    else:
        raise UserError("--rows and --columns go together: --rows prior --columns posterior")


def _write_board(board: Board, format_: Format, refused: bool) -> None:
    from lvmbench.cli.shown import show_board
    from lvmbench.results.markdown import to_markdown
    from lvmbench.results.sections import sections

    show, md = partial(show_board, board, refused=refused), partial(to_markdown, board, refused=refused)
    _write(board, format_, show, md, partial(sections, board))


def _write_pivot(pivot: Pivot, format_: Format) -> None:
    from lvmbench.cli.shown import show_pivot
    from lvmbench.results.markdown import sections_to_markdown

    show, md = partial(show_pivot, pivot), lambda: sections_to_markdown(pivot.sections)
    _write(pivot, format_, show, md, lambda: pivot.sections)


def _write(
    found: Board | Pivot,
    format_: Format,
    show: Callable[[], None],
    md: Callable[[], str],
    sections: Callable[[], list[Section]],
) -> None:
    """Show a table, or print its text in another format."""
    from lvmbench.results.latex import to_latex

    if format_ == "table":
        show()
        return
    texts: dict[str, Callable[[], str]] = {
        "csv": found.to_csv,
        "json": found.to_json,
        "md": md,
        "latex": lambda: to_latex(sections()),
    }
    print(texts[format_](), end="")


def _results(directory: Path, url: str | None) -> Results:
    """The results in a store, or those of a published board."""
    from lvmbench.api.results import Results
    from lvmbench.results.folder import is_published

    if url is not None or not is_published(directory):
        require_store(directory, url)
    return Results(directory, url)


def report(
    directory: Directory,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file (default: DIR/report.html).")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Write the report: one html file with the answer, every table, pictures, and how to redo it.

    It needs no other file and no network.

    Example: lvmbench report lvmbench-results/quick
    """
    print(printable(f"wrote {_results(directory, store).report(out)}"))


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
