"""Commands that read results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lvmbench.cli.options import Allowed, Directory, StoreUrl, Trust, opened_results
from lvmbench.errors import UserError
from lvmbench.text import printable

if TYPE_CHECKING:
    from lvmbench.results.board import Board
    from lvmbench.results.compare import Compared
    from lvmbench.results.effects_sections import Effects
    from lvmbench.results.pivot import Pivot
    from lvmbench.results.sections import Section

Format = Literal["table", "csv", "md", "json", "latex"]


Split = Annotated[str, typer.Option("--split", help="Which split's figures.")]
Where = Annotated[
    list[str],
    typer.Option(
        "--where", metavar="NAME=PATTERN", help="Only such runs: prior=vamp, latent=8; may be repeated."
    ),
]
FormatName = Annotated[Format, typer.Option("--format", help="How to write it.")]


def leaderboard(
    directory: Directory,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Rank by this metric instead of the suite's.")
    ] = None,
    split: Split = "test",
    where: Where = [],  # noqa: B006
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
    front: Annotated[
        bool, typer.Option("--front", help="Only rows that no other is both as good and as quick as.")
    ] = False,
    refused: Annotated[
        bool, typer.Option("--refused", help="Name the combinations that were refused.")
    ] = False,
    format_: FormatName = "table",
    store: StoreUrl = None,
) -> None:
    """Show the leaderboard of a results directory or of a published board, ranked by any metric.

    Example: lvmbench leaderboard lvmbench-results/quick --metric nmi --format md

    Example: lvmbench leaderboard lvmbench-results/quick --rows prior --columns posterior --metric gap
    """
    from lvmbench.results.front import undominated

    board = opened_results(directory, store).board(metric, split, where)
    board = board.by(sort) if sort else board
    board = undominated(board) if front else board
    if rows is None and columns is None:
        _write_board(board, format_, refused)
    elif rows and columns:
        from lvmbench.results.pivot import Pivot

        _write_sections(Pivot.of(board, rows, columns), format_)
    else:
        raise UserError("--rows and --columns go together: --rows prior --columns posterior")


def effects(
    directory: Directory,
    metric: Annotated[
        str | None, typer.Option("--metric", help="By this metric instead of the suite's.")
    ] = None,
    split: Split = "test",
    where: Where = [],  # noqa: B006
    format_: FormatName = "table",
    store: StoreUrl = None,
) -> None:
    """Show what each part of a suite's grid is worth, everything else being equal, and which pairs of
    parts do better than their sum.

    Example: lvmbench effects lvmbench-results/quick

    Example: lvmbench effects lvmbench-results/quick --metric nmi --where decoder=bernoulli --format csv
    """
    found = opened_results(directory, store).board(metric, split, where).worth
    found.require()
    _write_sections(found, format_)


def compare(
    directory: Directory,
    a: Annotated[
        str, typer.Argument(metavar="A", help="What to compare: prior=vamp, or the parts of a row.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="What to hold it against: prior=mixture.")],
    metric: Annotated[
        list[str], typer.Option("--metric", help="By this metric; may be repeated, the first leads.")
    ] = [],  # noqa: B006
    equal_within: Annotated[
        float | None,
        typer.Option(
            "--equal-within", min=0.0, metavar="VALUE", help="How large a difference counts as equal."
        ),
    ] = None,
    split: Split = "test",
    where: Where = [],  # noqa: B006
    format_: FormatName = "table",
    store: StoreUrl = None,
) -> None:
    """Show whether one choice is better than another, everything else being equal: the difference, how sure
    that is, and how many more seeds would call it.

    Example: lvmbench compare lvmbench-results/quick prior=mixture prior=standard_normal

    Example: lvmbench compare lvmbench-results/quick coupling gaussian --metric nmi --equal-within 0.02
    """
    from lvmbench.cli.shown import show_comparison
    from lvmbench.results.compare_sections import comparison_section, comparison_to_markdown

    results = opened_results(directory, store)
    found = results.compare(a, b, metric, equal_within=equal_within, split=split, where=where)
    show, md = partial(show_comparison, found), partial(comparison_to_markdown, found)
    _write(found, format_, show, md, lambda: [comparison_section(found)])


def _write_board(board: Board, format_: Format, refused: bool) -> None:
    from lvmbench.cli.shown import show_board
    from lvmbench.results.markdown import to_markdown
    from lvmbench.results.sections import sections

    show, md = partial(show_board, board, refused=refused), partial(to_markdown, board, refused=refused)
    _write(board, format_, show, md, partial(sections, board))


def _write_sections(found: Pivot | Effects, format_: Format) -> None:
    from lvmbench.cli.shown import show_sections
    from lvmbench.results.markdown import sections_to_markdown

    show, md = partial(show_sections, found.sections), lambda: sections_to_markdown(found.sections)
    _write(found, format_, show, md, lambda: found.sections)


def _write(
    found: Board | Pivot | Effects | Compared,
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


def report(
    directory: Directory,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file (default: DIR/report.html).")
    ] = None,
    plugin: Allowed = [],  # noqa: B006
    trust: Trust = False,
    store: StoreUrl = None,
) -> None:
    """Write the report: one html file with the answer, every table, pictures, and how to redo it.

    It needs no other file and no network.

    Example: lvmbench report lvmbench-results/quick
    """
    results = opened_results(directory, store, plugin, trust=trust)
    print(printable(f"wrote {results.report(out)}"))
