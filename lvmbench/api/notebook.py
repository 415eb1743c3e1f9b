"""The progress of a run in a notebook: one output, which is replaced as the run goes on."""

from __future__ import annotations

import sys
import time
from collections import Counter
from html import escape
from types import TracebackType
from typing import Any, Self

from lvmbench.execution.progress import Progress
from lvmbench.text import printable

PAUSE = 0.2
"""Seconds between two pictures, at least: a frontend need not keep up with every epoch."""
SHOWN = 10
"""How many of the ends of combinations are shown, the last ones."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    module: Any = sys.modules.get("IPython")
    return module is not None and getattr(module.get_ipython(), "kernel", None) is not None


class Notebook:
    """The progress of a run as html: bars of all combinations and of those at work, and how others ended."""

    def __init__(self) -> None:
        self._packs, self._finished, self._where = 0, 0, ""
        self._start, self._drawn = time.monotonic(), 0.0
        self._counts, self._at_work = Counter[str](), dict[str, Progress]()
        self._lines = list[str]()
        self._output: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._at_work.clear()
        if self._output is not None:
            self._draw()

    def start(self, packs: int, workers: int) -> None:
        """Say how much there is to do."""
        self._packs, self._start = packs, time.monotonic()
        self._where = f"{workers} worker process{'es' * (workers > 1)}" if workers else "this process"
        self._draw()

    def progress(self, name: str, progress: Progress) -> None:
        """Move the bar of one combination."""
        self._at_work[name] = progress
        if time.monotonic() - self._drawn >= PAUSE:
            self._draw()

    def finish(self, name: str, counts: Counter[str], reason: str) -> None:
        """Say how one combination ended."""
        self._finished += 1
        self._at_work.pop(name, None)
        self._counts.update(counts)
        self.say(f"{_counted(counts)}: {name}{f' ({reason})' if reason else ''}")

    def say(self, text: str) -> None:
        """Show one more line."""
        self._lines = [*self._lines, text][-SHOWN:]
        self._draw()

    def _draw(self) -> None:
        """Show how far it has got, in place of what was shown before."""
        from IPython.display import HTML, display

        self._drawn, picture = time.monotonic(), HTML(self._html())
        if self._output is None:
            self._output = display(picture, display_id=True)
        else:
            self._output.update(picture)

    def _html(self) -> str:
        spent = f"{time.monotonic() - self._start:.0f} s"
        head = (f"{self._finished} of {self._packs} combinations", _counted(self._counts), spent, self._where)
        bars = [_bar(self._finished, self._packs, " · ".join(filter(None, head)))]
        bars += [_bar(p.done, p.total, f"{name} · {_phase(p)}") for name, p in self._at_work.items()]
        return f"<div>{'<br>'.join([*bars, *map(_safe, self._lines)])}</div>"


def _bar(done: int, total: int, text: str) -> str:
    return f'<progress value="{done}" max="{max(total, 1)}"></progress> {_safe(text)}'


def _phase(progress: Progress) -> str:
    """What a job is at, and how good its model is."""
    bound = "" if progress.bound is None else f" · {progress.bound:.2f} nats"
    return f"{progress.phase} {progress.done}/{progress.total}{bound}"


def _counted(counts: Counter[str]) -> str:
    return " · ".join(f"{n} {status}" for status, n in counts.items())


def _safe(text: str) -> str:
    return escape(printable(text))
