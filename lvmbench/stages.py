"""Where time goes: stages of the work, which are timed while anyone asks for it, and cost nothing else."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

_NOTHING = nullcontext()


@dataclass
class Spent:
    """Seconds that a stage took, without those of stages within it, and how often it was begun."""

    seconds: float = 0.0
    times: int = 0


class Clock:
    """Times the stages that are begun while it is the one in use."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = defaultdict(Spent)
        self._open: list[str] = []
        self._since = 0.0

    def begin(self, stage: str) -> None:
        """A stage begins, maybe within another."""
        self._book()
        self._open.append(stage)
        self.spent[stage].times += 1

    def end(self) -> None:
        """The stage that was begun last ends."""
        self._book()
        self._open.pop()

    def _book(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.spent[self._open[-1]].seconds += now - self._since
        self._since = now


_clocks: list[Clock] = []
_recorders: list[Callable[[Callable[[], None]], None]] = []


@contextmanager
def clocked() -> Iterator[Clock]:
    """A clock for the stages of what is done meanwhile.

    Example:
        >>> with clocked() as clock, stage("forward"), stage("noise"):
        ...     pass
        >>> [(name, spent.times) for name, spent in clock.spent.items()]
        [('forward', 1), ('noise', 1)]
    """
    _clocks.append(Clock())
    try:
        yield _clocks[-1]
    finally:
        _clocks.pop()


@contextmanager
def recording(note: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Hand on what begins and ends stages, so that it is done again where the work is."""
    _recorders.append(note)
    try:
        yield
    finally:
        _recorders.pop()


def stage(name: str) -> AbstractContextManager[None]:
    """What is done within belongs to a stage."""
    return _timed(name) if _clocks else _NOTHING


@contextmanager
def _timed(name: str) -> Iterator[None]:
    clock = _clocks[-1]
    _do(lambda: clock.begin(name))
    try:
        yield
    finally:
        _do(clock.end)


def _do(action: Callable[[], None]) -> None:
    action()
    for note in _recorders:
        note(action)
