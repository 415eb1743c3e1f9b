"""A worker process, as its runner has it: sent jobs, listened to, and killed with all that it has started."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from lvmbench.execution.executor import Limits, Work
from lvmbench.execution.serving import Setting
from lvmbench.execution.starting import start
from lvmbench.text import printable, shortened

LOG = 4_000
"""So many characters of what a job has printed are kept."""
_CHUNK = 2**16
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
ENDED = "ended"
"""What the last message of a worker is about."""


class WorkerProcess:
    """One process that does one job at a time; what it says comes to ``events``, with itself.

    Arguments:
        events: Where its messages go.
        warm_up: What it does before it is ready for jobs, and for what.
        environment: Further variables of its environment.
    """

    def __init__(
        self,
        events: SimpleQueue[tuple[WorkerProcess, str, Any]],
        warm_up: tuple[Work, Any],
        environment: dict[str, str],
    ) -> None:
        self.environment, self._events = environment, events
        self._log, self._reading = b"", threading.Lock()
        self.number, self.limits = -1, Limits()
        self.prepared: Any = None
        self.memory = 0
        self._process = start(environment)
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._listen, self._keep_log)]
        for thread in self._threads:
            thread.start()
        self._send(Setting.here(environment))
        self.prepare(*warm_up)

    @property
    def idle(self) -> bool:
        """Whether it may be given a job."""
        return self.ready and self.number < 0

    @property
    def exitcode(self) -> int | None:
        """Its exit code, or minus the signal that has ended it; ``None`` while it lives."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """The end of what it has printed during its job."""
        # what it printed before it said that it is done may still be on its way
        with contextlib.suppress(OSError, ValueError):
            self._read_log()
        text = self._log.decode("utf-8", "replace")
        return shortened(printable(text).strip(), LOG)

    def prepare(self, work: Work, job: Any) -> None:
        """Have it do something, after which it is ready for jobs."""
        self.ready, self.since = False, time.monotonic()
        self._send((work, job))

    def give(self, number: int, work: Work, job: Any, limits: Limits) -> None:
        """Let it begin a job."""
        self.number, self.limits = number, limits
        self.since, self.memory = time.monotonic(), 0
        self._log = b""
        self._send((work, job))

    def look(self) -> int:
        """How much memory it takes now, in bytes; the most is kept."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            self.memory = max(self.memory, int(pages) * _PAGE)
        return self.memory

    def kill(self) -> int:
        """End it, and whatever it has started; its exit code."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        code = self._process.wait()
        for thread in self._threads:
            thread.join(1)  # what is still on its way; a process that has left the group may hold on longer
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream and not any(thread.is_alive() for thread in self._threads):
                with contextlib.suppress(OSError):
                    stream.close()
        return code

    def _send(self, what: Any) -> None:
        content = pickle.dumps(what)
        with contextlib.suppress(OSError):  # it has just ended, which is told elsewhere
            assert self._process.stdin
            self._process.stdin.write(content)
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout
        with contextlib.suppress(Exception):
            while True:
                self._events.put((self, *pickle.load(self._process.stdout)))
        self._events.put((self, ENDED, None))

    def _keep_log(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while self._is_printing(None) and self._read_log():
                pass

    def _read_log(self) -> bool:
        """Take in what has been printed by now; whether there may be more to come."""
        with self._reading:
            while self._is_printing(0):
                assert self._process.stderr
                chunk = os.read(self._process.stderr.fileno(), _CHUNK)
                if not chunk:
                    return False
                self._log = (self._log + chunk)[-_CHUNK:]
        return True

    def _is_printing(self, milliseconds: int | None) -> bool:
        """Whether there is something to be read, or nothing more to come, within some time or at last."""
        assert self._process.stderr
        printing = select.poll()
        printing.register(self._process.stderr, select.POLLIN)
        return bool(printing.poll(milliseconds))
