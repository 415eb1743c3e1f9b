"""What a run shows while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.segment import Segment
from rich.text import Text

from lvmbench.execution.progress import Progress
from lvmbench.status import Status
from lvmbench.text import legible

PIPE_WIDTH = 120
BAR_WIDTH = 60  # what stands beside a name while it trains


class LegibleConsole(Console):
    """A console that writes out control characters of what it is given, and what its encoding lacks."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed, piece by piece.

        The codes of colours and of moving bars are pieces of their own.
        """
        for piece in super().render(renderable, options):
            text, style, control = piece
            yield piece if control else Segment(legible(text, self.encoding), style)


_sized = sys.stdout.isatty() or "COLUMNS" in os.environ
console = LegibleConsole(highlight=False, markup=False, emoji=False, width=None if _sized else PIPE_WIDTH)
STYLES = {Status.OK: "green", Status.REFUSED: "yellow", Status.INTERRUPTED: "yellow"}


class Live:
    """The progress of a run: a table of bars on a terminal, a line per finished combination otherwise."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=18),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
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
        where = counted(workers, "worker process", "es") if workers else "this process"
        self._console.print(f"{counted(packs, 'combination')} to do in {where}")
        self._overall = self._bars.add_task("all combinations", total=packs, note="")

    def progress(self, name: str, progress: Progress) -> None:
        """Move the bar of one combination."""
        if name not in self._tasks:
            short = _shorten(name, self._console.width - BAR_WIDTH)
            self._tasks[name] = self._bars.add_task(short, note="")
        bound = "" if progress.bound is None else f" {progress.bound:.2f} nats"
        self._bars.update(
            self._tasks[name],
            completed=progress.done,
            total=progress.total,
            note=progress.phase + bound,
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
        self._console.print(where + status_counts(counts) + Text(f"  {name}") + tail, soft_wrap=True)

    def say(self, text: str) -> None:
        """Say what concerns all of the run."""
        self._console.print(Text(text, style="yellow"), soft_wrap=True)


def counted(n: int, noun: str, plural: str = "s") -> str:
    """A number and its noun.

    >>> counted(1, "run"), counted(2000, "run")
    ('1 run', '2,000 runs')
    """
    return f"{n:,} {noun}{'' if n == 1 else plural}"


def say(text: Text | str) -> None:
    """Print one line: broken between words on a terminal, whole in a pipe."""
    console.print(text, soft_wrap=not console.is_terminal)


def _shorten(name: str, width: int) -> str:
    """The name without its dataset, cut to what fits beside a bar."""
    short = name.partition(" · ")[2] or name
    return short if len(short) <= width else short[: max(width, 10) - 1] + "…"


def status_counts(counts: Counter[str]) -> Text:
    """Counts per status, in colour: ``3 ok · 1 failed``."""
    ordered = sorted(counts.items(), key=lambda item: list(Status).index(Status(item[0])))
    pieces = [Text(f"{n} {status}", style=STYLES.get(Status(status), "bold red")) for status, n in ordered]
    return Text(" · ").join(pieces) if pieces else Text("nothing planned")
