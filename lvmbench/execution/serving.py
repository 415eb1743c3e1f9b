"""What a worker process does: the jobs that it is sent, one after another, while its runner lives."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any, BinaryIO, NamedTuple

from lvmbench.execution.executor import Tell, Work, do
from lvmbench.execution.fates import crash_of
from lvmbench.execution.progress import NowAndThen, Progress

READY, PROGRESS, DONE = "ready", "progress", "done"
"""What a message of a worker is about."""


class Setting(NamedTuple):
    """Where jobs are done, as if the runner had started the process itself.

    Arguments:
        environment: The variables.
        path: Where modules are found.
        folder: The working directory, if there is one.
    """

    environment: Mapping[str, str]
    path: Sequence[str]
    folder: str | None

    @classmethod
    def here(cls, environment: Mapping[str, str]) -> Setting:
        """That of this process, with further variables."""
        folder = None
        with contextlib.suppress(OSError):  # it may have been removed
            folder = os.getcwd()
        return cls({**os.environ, **environment}, search_path(), folder)

    def enter(self) -> None:
        """Work there from now on, with one thread."""
        os.environ.clear()
        os.environ.update(self.environment, OMP_NUM_THREADS="1")
        sys.path[:] = self.path
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)


def search_path() -> list[str]:
    """Where this process finds modules."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def serve() -> None:
    """Do jobs until there is nobody any more to do them for; the first makes ready for the others."""
    source, sink = _streams()
    pickle.load(source).enter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting is the runner's business
    jobs: SimpleQueue[tuple[Work, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=[source, jobs], daemon=True).start()
    _send(sink, READY, _outcome(*jobs.get(), lambda progress: None))
    while True:
        work, job = jobs.get()
        _send(sink, DONE, _outcome(work, job, NowAndThen(lambda news: _send(sink, PROGRESS, news))))


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Where jobs come from and outcomes go to.

    What else is written to the process's standard streams, by Python or not, goes to its log.
    """
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return source, sink


def _listen(source: BinaryIO, jobs: SimpleQueue[tuple[Work, Any]]) -> None:
    """Take in jobs; the end of the runner is that of this process and of all that it has started."""
    with contextlib.suppress(BaseException):
        while True:
            jobs.put(pickle.load(source))
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _outcome(work: Work, job: Any, tell: Tell) -> bytes:
    """What a job gives, as bytes: they are made here, where it is known what is in them."""
    try:
        return pickle.dumps(do(work, job, tell))
    except BaseException as error:  # components raise all there is
        return pickle.dumps(crash_of(error))


def _send(sink: BinaryIO, about: str, content: bytes | Progress) -> None:
    try:
        pickle.dump((about, content), sink)
        sink.flush()
    except (OSError, ValueError):  # a component has closed what it does not own
        print("the connection to the runner is gone", file=sys.stderr)
        os._exit(1)
