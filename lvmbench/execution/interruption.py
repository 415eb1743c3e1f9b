"""Being asked to stop: once, to begin nothing new and end in order; twice, to end at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop, by this signal."""

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


class Interruption:
    """Whether the process was asked to stop, by Ctrl-C, by ``kill`` or by the end of its terminal."""

    def __init__(self) -> None:
        self.signal, self._times, self._here = 0, 0, False
        self._terminals = [s.fileno() for s in (sys.__stdout__, sys.__stderr__) if s and _is_terminal(s)]

    @property
    def asked(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._times > 0

    def stop_if_urgent(self) -> None:
        """Raise `Interrupted` where the process was asked twice."""
        if self._times > 1:
            raise Interrupted(self.signal)

    @contextmanager
    def heard(self, *, here: bool) -> Iterator[None]:
        """Hear what the process is asked meanwhile, if this is its main thread.

        A second time is raised at the next call of `stop_if_urgent`, which is a safe place; or at once where
        ``here`` says that jobs are done in this process, or when it is asked a third time.
        """
        self._here = here
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]  # as under nohup
        for number in heard:
            signal.signal(number, self._note)
        try:
            yield
        finally:
            for number in heard:
                signal.signal(number, before[number] or signal.SIG_DFL)

    def _note(self, number: int, frame: object) -> None:
        self.signal, self._times = number, self._times + 1
        if number == getattr(signal, "SIGHUP", None):
            self._leave_terminals()
        if self._times > (1 if self._here else 2):
            raise Interrupted(number)

    def _leave_terminals(self) -> None:
        """Write nowhere from now on: to write to a terminal that is gone is an error."""
        with open(os.devnull, "wb") as nothing:
            for terminal in self._terminals:
                os.dup2(nothing.fileno(), terminal)


def _is_terminal(stream: object) -> bool:
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return False
