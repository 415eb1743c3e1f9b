"""What a run shows: live progress on a terminal, plain lines elsewhere; results and status."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from lvmbench.execution.progress import Progress
from lvmbench.status import SETTLED, Status

if TYPE_CHECKING:
    import pandas as pd

    from lvmbench.runner import Summary
    from lvmbench.store import Store

PIPE_WIDTH = 120
console = Console(highlight=False)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console = Console(highlight=False, width=PIPE_WIDTH)
STYLES = {Status.OK: "green", Status.REFUSED: "yellow", Status.INTERRUPTED: "yellow"}
FILES = (
    "leaderboard.md",
    "leaderboard.csv",
    "leaderboard.svg",
    "records.csv",
    "measurements.csv",
    "evaluations.csv",
)


class Live:
    """The progress of a run: a table of bars on a terminal, a line per finished combination otherwise."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=18),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        self._bars = Bars(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._overall: TaskID | None = None
        self._packs, self._finished, self._start = 0, 0, time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, packs: int, workers: int) -> None:
        """Say how much there is to do."""
        self._packs, self._start = packs, time.monotonic()
        self._console.print(f"{packs} combinations to do, {workers or 'no'} worker processes")
        self._overall = self._bars.add_task("[bold]all combinations", total=packs, note="")

    def progress(self, name: str, progress: Progress) -> None:
        """Move the bar of one combination."""
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(_escape(_shorten(name)), note="")
        bound = "" if progress.bound is None else f" {progress.bound:.2f} nats"
        self._bars.update(
            self._tasks[name],
            completed=progress.done,
            total=progress.total,
            note=_escape(progress.phase + bound),
        )

    def finish(self, name: str, counts: Counter[str], reason: str) -> None:
        """Say how one combination ended."""
        self._finished += 1
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        if self._overall is not None:
            self._bars.update(self._overall, completed=self._finished)
        where = Text(
            f"[{self._finished}/{self._packs} {time.monotonic() - self._start:5.1f} s] ", style="dim"
        )
        tail = Text(f"  {reason}", style="dim") if reason else Text("")
        self._console.print(where + _counts(counts) + Text(f"  {name}") + tail, soft_wrap=True)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def _shorten(name: str, width: int = 60) -> str:
    """The name without its dataset, cut to what fits beside a bar."""
    short = name.partition(" · ")[2] or name
    return short if len(short) <= width else short[: width - 1] + "…"


def _counts(counts: Counter[str]) -> Text:
    """Counts per status, in colour: ``3 ok · 1 failed``."""
    ordered = sorted(counts.items(), key=lambda item: list(Status).index(Status(item[0])))
    pieces = [Text(f"{n} {status}", style=STYLES.get(Status(status), "bold red")) for status, n in ordered]
    return Text(" · ").join(pieces) if pieces else Text("nothing planned")


def show_results(console: Console, out: Path, store: Store, summary: Summary) -> None:
    """The leaderboard, the files, and the counts per status."""
    from lvmbench.leaderboard import leaderboard
    from lvmbench.render import to_rich

    board = leaderboard(store.records(), store.measurements(), metric=store.meta().get("metric"))
    for table in to_rich(board, width=min(console.width, 140)):
        console.print(table)
    _attention(console, store, refused=False)
    console.print(
        f"wrote to {out}/: "
        + ", ".join(name for name in FILES if (out / name).exists())
        + ", store, weights",
        soft_wrap=True,
    )
    console.print(_closing(summary))
    if summary.failed:
        console.print(f"what failed: lvmbench status {out} --traceback   redo it: lvmbench retry {out}")


def _closing(summary: Summary) -> Text:
    refused = {s: n for s, n in summary.evaluations.items() if s != Status.OK}
    line = Text("runs: ") + _counts(summary.counts)
    if refused:
        line += Text("   evaluations: ") + _counts(Counter(refused))
    return line + Text(f"   trained now: {summary.trained}   {summary.seconds:.1f} s")


def show_status(console: Console, out: Path, store: Store, *, tracebacks: bool) -> None:
    """Counts per status, and what is not ok with its reason."""
    meta, records = store.meta(), store.records(details=True)
    console.print(f"{out}: suite {meta.get('suite')} version {meta.get('version')}")
    console.print(Text("runs: ") + _counts(Counter(records["status"])))
    evaluations = store.evaluations()
    console.print(Text("evaluations: ") + _counts(Counter(evaluations["status"])))
    _attention(console, store, refused=True)
    for _, row in records[records["traceback"].notna()].iterrows() if tracebacks else ():
        console.rule(Text(f"{_name(row)} · seed {row['seed']}"))
        console.print(row["traceback"], markup=False)
    unfinished = int((records["status"] == Status.INTERRUPTED).sum())
    if unfinished:
        console.print(f"{unfinished} runs are unfinished: lvmbench run {out / 'suite.yaml'} --out {out}")
    if not set(records["status"]) <= SETTLED | {Status.INTERRUPTED}:
        console.print(f"redo what failed: lvmbench retry {out}")


def _attention(console: Console, store: Store, *, refused: bool) -> None:
    """A table of what is not ok, one line per combination and reason."""
    fine = {Status.OK} if refused else SETTLED
    table = Table("status", "combination", "seeds", "reason", box=None, header_style="bold", pad_edge=False)
    records, evaluations = store.records(), store.evaluations()
    for frame, label in ((records, ""), (evaluations, "evaluator")):
        for (status, name, reason), seeds in _grouped(frame[~frame["status"].isin(fine)], label):
            table.add_row(
                Text(status, style=STYLES.get(Status(status), "bold red")), Text(name), seeds, Text(reason)
            )
    if table.row_count:
        console.print(table)


def _grouped(frame: pd.DataFrame, label: str) -> list[tuple[tuple[str, str, str], str]]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for _, row in frame.iterrows():
        name = f"{label} {row[label]}: {_name(row)}" if label else _name(row)
        groups.setdefault((row["status"], name, row["reason"]), []).append(str(row["seed"]))
    return [(key, ",".join(seeds)) for key, seeds in groups.items()]


def _name(row: pd.Series) -> str:
    return " · ".join(
        str(row[kind]) for kind in ("dataset", "prior", "posterior", "decoder", "objective", "estimator")
    )
