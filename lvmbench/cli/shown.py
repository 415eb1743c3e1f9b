"""What commands show of results: leaderboards, how runs ended, what needs attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.text import Text

from lvmbench.api.progress import STYLES, console, counted, say, status_counts
from lvmbench.results.answer import answer
from lvmbench.results.compare_sections import comparison_section, paragraph
from lvmbench.results.export import BOARD_MARKDOWN, FILES, REPORT
from lvmbench.results.folder import plugins_of
from lvmbench.results.labels import identity, labels
from lvmbench.results.missing import missing_evaluations
from lvmbench.results.terminal import to_rich, to_tables
from lvmbench.results.weights import WEIGHTS, fault, weights_file
from lvmbench.status import SETTLED, Status
from lvmbench.text import shell

if TYPE_CHECKING:
    from lvmbench.api.results import Results
    from lvmbench.execution.runner import Summary
    from lvmbench.registry.loader import PluginSelection
    from lvmbench.results.board import Board
    from lvmbench.results.compare import Compared
    from lvmbench.results.sections import Section
    from lvmbench.results.store import Store

BOARD_WIDTH = 140  # wider tables are harder to read


def show_board(board: Board, *, refused: bool = False) -> None:
    """The tables of a leaderboard, and what it comes to."""
    show_tables(board, refused=refused)
    show_answer(board)


def show_answer(board: Board) -> None:
    """What a board comes to, a line for each sentence."""
    for found in answer(board):
        say(Text(f"\n{found.table or 'in short'}", style="bold"))
        for sentence in found.sentences:
            say(Text(f"- {sentence}"))


def show_tables(board: Board, *, refused: bool = False) -> None:
    """The tables of a leaderboard."""
    width = min(console.width, BOARD_WIDTH)
    for table in to_rich(board, width, console.encoding, refused=refused):
        console.print(table)
        console.print()


def show_sections(sections: Sequence[Section]) -> None:
    """Sections as they are."""
    for table in to_tables(sections, console.encoding):
        console.print(table)


def show_comparison(found: Compared) -> None:
    """A comparison in words, and as a table."""
    say(paragraph(found) + "\n")
    show_sections([comparison_section(found)])


def show_profile(directory: Path) -> None:
    """Where the time of a run went."""
    from lvmbench.execution.profiling import profile_section

    console.print()
    show_sections([profile_section(directory)])


def show_results(results: Results, board: Board, summary: Summary) -> None:
    """The leaderboard, the files, and the counts per status."""
    out = results.directory
    show_tables(board)
    _attention(results.evaluations, board.records, settled=SETTLED)
    written = [name for name in FILES if (out / name).exists()]
    say(f"wrote to {out}/: {', '.join([*written, 'store, weights'])}")
    say(_closing(summary))
    if summary.failed:
        where = shell(out)
        again = _retrying(out, results.consent.plugins)
        say(f"what failed: lvmbench status {where} --traceback   redo it: {again}")
    show_answer(board)
    pages = (str(out / name) for name in (REPORT, BOARD_MARKDOWN) if (out / name).exists())
    say(f"read on: {', '.join(pages)}")


def _closing(summary: Summary) -> Text:
    refused = {s: n for s, n in summary.evaluations.items() if s != Status.OK}
    line = Text("runs: ") + status_counts(summary.counts)
    if refused:
        line += Text("   evaluations: ") + status_counts(Counter(refused))
    return line + Text(f"   trained now: {summary.trained}   {summary.seconds:.1f} s")


def show_status(out: Path, store: Store, *, tracebacks: bool) -> None:
    """Counts per status, and what is not ok with its reason."""
    meta, records, again = store.meta(), store.records(details=True), _retrying(out, plugins_of(store))
    say(f"{out}: suite {meta.get('suite')} version {meta.get('version')}")
    say(Text("runs: ") + status_counts(Counter(records["status"])))
    evaluations = store.evaluations(details=True)
    say(Text("evaluations: ") + status_counts(Counter(evaluations["status"])))
    for frame in (records, evaluations):
        _attention(frame, records, settled={Status.OK})
    for frame in (records, evaluations) if tracebacks else ():
        for what, (_, row) in _named(frame[frame["traceback"].notna() | frame["log"].notna()], records):
            say(Text(f"\n{what} · seed {row['seed']}", style="bold"))
            say(row["traceback"] or row["reason"])
            if row["log"]:
                say(f"the end of what it printed:\n{row['log']}")
    if missing := missing_evaluations(store):
        each = ", ".join(f"{name} of {counted(n, 'run')}" for name, n in missing.items())
        say(f"{counted(missing.total(), 'evaluation')} missing ({each}): {again}")
    ok = records.loc[records["status"] == Status.OK, "key"]
    if lost := sum(bool(fault(weights_file(out / WEIGHTS, key), None)) for key in ok):
        say(f"{counted(lost, 'run')} without weights, which are trained again: {again}")
    unfinished = int((records["status"] == Status.INTERRUPTED).sum())
    if unfinished:
        say(f"{counted(unfinished, 'run')} unfinished: {again} --status interrupted")
    if not {*records["status"], *evaluations["status"]} <= SETTLED | {Status.INTERRUPTED}:
        say(f"redo what failed: {again}")


def _retrying(out: Path, selection: PluginSelection) -> str:
    """The command that does again what ended badly, with the local plugins that it has to import."""
    return " ".join(["lvmbench retry", shell(out), *(f"--plugin {shell(p)}" for p in selection.extra)])


def _attention(frame: pd.DataFrame, records: pd.DataFrame, settled: Collection[str]) -> None:
    """What is not settled, one line for each combination and reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for what, (_, row) in _named(frame[~frame["status"].isin(settled)], records):
        groups.setdefault((row["status"], what, row["reason"]), []).append(str(row["seed"]))
    for (status, what, reason), seeds in groups.items():
        line = Text(status, style=STYLES.get(Status(status), "bold red"))
        where = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"
        say(line + Text(f": {what} ({where}): {reason}", style=""))


def _named(frame: pd.DataFrame, records: pd.DataFrame) -> Iterator[tuple[str, tuple[Any, pd.Series[Any]]]]:
    """Each row with what it is about: the combination of a run of these records, or an evaluator of one."""
    about = records[records["key"].isin(frame["key"])]
    names = frame["key"].map(labels(about, identity(records)).set_axis(about["key"])).astype(str)
    if "evaluator" in frame:
        names = "evaluator " + frame["evaluator"].astype(str) + " of " + names
    return zip(names, frame.iterrows(), strict=True)
