"""Sections of the report: items that are run one by one, each in isolation,
in a process of the section's own.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

Row = list[str]
SPOILT = 3
SPOILING = ("CUDA error", "device-side assert", "capture")
"""Words of errors after which a process can do nothing more on the device."""


@dataclass(frozen=True)
class Setting:
    """Where to measure, whether with small sizes, and when no further item begins (by ``time.time``)."""

    device: torch.device
    quick: bool
    deadline: float

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU of CUDA."""
        return self.device.type == "cuda"


@dataclass(frozen=True)
class Check:
    """A figure that must not exceed its bound, and what else is to be said."""

    figure: float
    bound: float
    note: str = ""

    @property
    def row(self) -> Row:
        """Its cells."""
        verdict = "ok" if self.figure <= self.bound else "**fails**"
        return [f"{self.figure:.2g}", f"{self.bound:.2g}", verdict, self.note]


Item = tuple[str, Callable[[], Check | Row]]
CHECKED = ["what", "figure", "bound", "verdict", "note"]


@dataclass(frozen=True)
class Section:
    """A table: its title, the meaning of its columns, and what gives its rows.

    ``until`` is the share of all the time after which no further item begins; ``limit`` the seconds that an
    item may take.
    """

    title: str
    note: str
    columns: list[str]
    items: Callable[[Setting], Iterable[Item]]
    until: float = 1.0
    limit: int = 60


@dataclass
class Table:
    """What a section gave."""

    section: Section
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def markdown(self) -> str:
        """The table with its title."""
        head = ["| " + " | ".join(self.section.columns) + " |", "|" + " --- |" * len(self.section.columns)]
        body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        return "\n".join(
            [f"## {self.section.title}", "", self.section.note, "", *head, *body, "", self._ending]
        )

    @property
    def _ending(self) -> str:
        failing = sum("**" in cell for row in self.rows for cell in row[-2:])
        return f"{len(self.rows)} rows, {failing} of them failing, {self.seconds:.0f} s."


RESTARTS = 5
"""How often a section goes on in a new process, after one that an item has spoilt."""


def collected(section: Section, setting: Setting, method: str) -> Table:
    """Run a section in a process of its own, so that nothing that it breaks
    or leaves behind meets the next.
    """
    table, start = Table(section), time.time()
    for _ in range(1 + RESTARTS):
        code = _process(table, setting, method)
        if code not in (0, SPOILT):
            table.rows.append(_filled(section, "(the process)", f"**ended with code {code}**"))
        if code == 0 or time.time() > setting.deadline:
            break
    table.seconds = time.time() - start
    return table


def _process(table: Table, setting: Setting, method: str) -> int | None:
    """Take in the rows that are still to come, from a new process; its exit code."""
    context: Any = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(table.section, setting, sender, len(table.rows)))
    process.start()
    sender.close()
    for kind, content in _messages(receiver, setting.deadline + table.section.limit):
        table.rows.append(content) if kind == "row" else table.problems.append(content)
    process.join(5)
    if process.is_alive():
        process.kill()
        process.join()
    code: int | None = process.exitcode
    return code


def _messages(receiver: Any, end: float) -> Iterator[tuple[str, Any]]:
    try:
        while receiver.poll(max(0.0, end - time.time())):
            yield receiver.recv()
    except (EOFError, OSError):
        return


def _work(section: Section, setting: Setting, sender: Any, done: int) -> None:
    """Send the rows of a section but for those that are done; runs in the section's own process."""
    torch.set_float32_matmul_precision("highest")
    torch.set_num_threads(min(4, torch.get_num_threads()))
    if setting.cuda:
        torch.cuda.init()
    try:
        for label, action in itertools.islice(section.items(setting), done, None):
            _send(section, setting, sender, label, action)
    except Exception as error:
        _fail(section, sender, "(the section)", error)


def _send(
    section: Section, setting: Setting, sender: Any, label: str, action: Callable[[], Check | Row]
) -> None:
    if time.time() > setting.deadline:
        sender.send(("row", _filled(section, label, "left out: the time is over")))
        return
    try:
        with _limited(section.limit):
            found = action()
        row = [label, *(found.row if isinstance(found, Check) else found)]
    except Exception as error:
        _fail(section, sender, label, error)
        if any(word in str(error) for word in SPOILING):
            sender.close()
            os._exit(SPOILT)
        return
    print("  " + "  ".join(row), flush=True)
    sender.send(("row", row))


def _fail(section: Section, sender: Any, label: str, error: Exception) -> None:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    print(f"  {label}  {reason[:300]}", flush=True)
    sender.send(("row", _filled(section, label, f"**{reason[:160]}**")))
    sender.send(("problem", f"{section.title}, {label}\n{''.join(traceback.format_exception(error))}"))


def _filled(section: Section, label: str, reason: str) -> Row:
    return [label, *[""] * (len(section.columns) - 2), reason]


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raise `TimeoutError` in what takes longer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"it takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
