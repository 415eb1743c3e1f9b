"""What commands show of results: leaderboards, how runs ended, what needs attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.text import Text

from lvmbench.api.progress import STYLES, console, counted, say, status_counts
from lvmbench.kinds import PARTS
from lvmbench.results.export import FILES
from lvmbench.results.terminal import to_rich
from lvmbench.status import SETTLED, Status
from lvmbench.text import shell

if TYPE_CHECKING:
    from lvmbench.api.results import Results
    from lvmbench.execution.runner import Summary
    from lvmbench.results.board import Board
    from lvmbench.results.store import Store

BOARD_WIDTH = 140  # wider tables are harder to read


def show_board(board: Board) -> None:
    """The tables of a leaderboard."""
    for table in to_rich(board, width=min(console.width, BOARD_WIDTH), encoding=console.encoding):
        console.print(table)


def show_results(results: Results, summary: Summary) -> None:
    """The leaderboard, the files, and the counts per status."""
    out = results.directory
    show_board(results.board())
    _attention(results.evaluations, settled=SETTLED)
    written = [name for name in FILES if (out / name).exists()]
    say(f"wrote to {out}/: {', '.join([*written, 'store, weights'])}")
    say(_closing(summary))
    if summary.failed:
        where = shell(out)
        say(f"what failed: lvmbench status {where} --traceback   redo it: lvmbench retry {where}")


def _closing(summary: Summary) -> Text:
    refused = {s: n for s, n in summary.evaluations.items() if s != Status.OK}
    line = Text("runs: ") + status_counts(summary.counts)
    if refused:
        line += Text("   evaluations: ") + status_counts(Counter(refused))
    return line + Text(f"   trained now: {summary.trained}   {summary.seconds:.1f} s")


def show_status(out: Path, store: Store, *, tracebacks: bool) -> None:
    """Counts per status, and what is not ok with its reason."""
    meta, records = store.meta(), store.records(details=True)
    say(f"{out}: suite {meta.get('suite')} version {meta.get('version')}")
    say(Text("runs: ") + status_counts(Counter(records["status"])))
    evaluations = store.evaluations(details=True)
    say(Text("evaluations: ") + status_counts(Counter(evaluations["status"])))
    for frame in (records, evaluations):
        _attention(frame, settled={Status.OK})
    for frame in (records, evaluations) if tracebacks else ():
        for _, row in frame[frame["traceback"].notna()].iterrows():
            say(Text(f"\n{_what(row)} · seed {row['seed']}", style="bold"))
            say(row["traceback"])
    unfinished = int((records["status"] == Status.INTERRUPTED).sum())
    if unfinished:
        command = f"lvmbench retry {shell(out)} --status interrupted"
        say(f"{counted(unfinished, 'run')} unfinished: {command}")
    if not {*records["status"], *evaluations["status"]} <= SETTLED | {Status.INTERRUPTED}:
        say(f"redo what failed: lvmbench retry {shell(out)}")


def _attention(frame: pd.DataFrame, settled: Container[str]) -> None:
    """What is not settled, one line for each combination and reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for _, row in frame.iterrows():
        if row["status"] not in settled:
            groups.setdefault((row["status"], _what(row), row["reason"]), []).append(str(row["seed"]))
    for (status, what, reason), seeds in groups.items():
        line = Text(status, style=STYLES.get(Status(status), "bold red"))
        where = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"
        say(line + Text(f": {what} ({where}): {reason}", style=""))


def _what(row: pd.Series[Any]) -> str:
    """What a row is about: a combination, or an evaluator of one."""
    name = " · ".join(str(row[kind]) for kind in PARTS)
    return f"evaluator {row['evaluator']} of {name}" if "evaluator" in row else name
