"""Foreign code that is entered, told of to whoever may have to end the process for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from lvmbench.status import Status

PLUGIN = "plugin"
"""How the step begins in which a plugin is loaded."""


class Ending(NamedTuple):
    """How some code has ended the process that it was in."""

    status: Status
    reason: str


class Fatal(Exception):  # noqa: N818
    """Code that is not entered again, as it has ended its process before."""

    def __init__(self, what: str, ending: Ending) -> None:
        super().__init__(f"{what}, when it was tried: {ending.reason}")
        self.status = ending.status


class _Watch:
    """Who is told what is entered, and what is not to be entered; nobody and nothing by default."""

    def __init__(self) -> None:
        self.tell: Callable[[str], None] = lambda what: None
        self.fatal: Mapping[str, Ending] = {}
        self.inside: list[str] = [""]


_WATCH = _Watch()


@contextmanager
def watched(tell: Callable[[str], None], fatal: Mapping[str, Ending]) -> Iterator[None]:
    """Tell what foreign code is entered meanwhile; what is fatal raises `Fatal` instead."""
    _WATCH.tell, _WATCH.fatal = tell, fatal
    try:
        yield
    finally:
        _WATCH.__init__()  # type: ignore[misc]


@contextmanager
def entered(what: str) -> Iterator[None]:
    """Enter foreign code; raises `Fatal` where that would end the process."""
    if ending := _WATCH.fatal.get(what):
        raise Fatal(what, ending)
    _WATCH.inside.append(what)
    _WATCH.tell(what)
    try:
        yield
    finally:
        _WATCH.inside.pop()
        _WATCH.tell(_WATCH.inside[-1])
