"""How worker processes are started: forked from a server where that can be, and else each by itself."""

from __future__ import annotations

import atexit
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from lvmbench.execution.forkserver import FORK, LAST, NUMBER
from lvmbench.execution.serving import search_path

PRELOADED = ("lvmbench.execution.worker", "lvmbench.execution.fitting", "lvmbench.suites.plan")
"""What trains, measures and plans; with all that it imports it starts no thread."""
READ_ONCE = (
    *("ATEN_", "BLIS_", "CUDA_", "DNNL_", "GOMP_", "KMP_", "LD_", "MALLOC_", "MKL_", "OMP_", "ONEDNN_"),
    *("OPENBLAS_", "PYTHON", "PYTORCH_", "TORCH"),
)
"""How variables begin that libraries read when they are imported, and maybe never again."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
_FORKS = sys.platform == "linux"
"""Elsewhere libraries of the system have threads of their own."""


class Forked:
    """A process that a server has forked, which is used as `subprocess.Popen` is.

    Raises `EOFError` where it has forked none.

    Arguments:
        status: Where the server tells the number of the process, and its exit code when it has ended.
        streams: The other ends of its standard streams.
    """

    def __init__(self, status: int, streams: tuple[IO[bytes], IO[bytes], IO[bytes]]) -> None:
        self.pid, self._status = _number(status), status
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that has ended it; ``None`` while it lives."""
        if self.returncode is None:
            told = select.poll()
            told.register(self._status, select.POLLIN)
            return self.wait() if told.poll(0) else None
        return self.returncode

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        if self.returncode is None:
            try:
                self.returncode = _number(self._status)
            except EOFError:  # the server was killed: how its processes end, nobody is told
                self.returncode = -signal.SIGKILL
            os.close(self._status)
        return self.returncode

    def kill(self) -> None:
        """End it."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class _Server:
    """The server, to the process that has started it."""

    def __init__(self) -> None:
        self._owner, self._inherited, self._used = os.getpid(), _inherited(), False
        self._requests, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                _command("lvmbench.execution.forkserver", "serve_forks", *PRELOADED),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **_ONE_THREAD},
            )

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def is_of_use(self) -> bool:
        """Whether a fork of it is as a process that is started now; one that never forks is kept, too."""
        as_now = (self._owner, self._inherited) == (os.getpid(), _inherited())
        return as_now and (self.lives or not self._used)

    def fork(self) -> Forked | None:
        """A process; none where the server has ended."""
        (stdin, to), (of, stdout), (about, stderr), (status, told) = (os.pipe() for _ in range(4))
        with suppress(OSError):
            socket.send_fds(self._requests, [FORK], [stdin, stdout, stderr, told])
        for end in (stdin, stdout, stderr, told):
            os.close(end)
        streams = os.fdopen(to, "wb"), os.fdopen(of, "rb"), os.fdopen(about, "rb")
        try:
            process = Forked(status, streams)
        except EOFError:
            for stream in (*streams, os.fdopen(status)):
                stream.close()
            return None
        self._used = True
        return process

    def retire(self) -> None:
        """Let it end as soon as its processes have."""
        if self._owner == os.getpid():
            with suppress(OSError):
                self._requests.send(LAST)
        self._requests.close()

    def end(self) -> None:
        """End it."""
        if self._owner == os.getpid():
            self._requests.close()
            self._process.kill()
            self._process.wait()


_lock = threading.Lock()
_servers: list[_Server] = []
"""The last is in use; of those before it some processes may be left."""


def get_ready() -> None:
    """Have ready, as soon as can be, what the first process is started with."""
    if _FORKS:
        with _lock:
            _current()


def start(environment: Mapping[str, str]) -> subprocess.Popen[bytes] | Forked:
    """A process that does jobs, with further variables in its environment.

    It is the leader of a session: interruptions from a terminal do not reach it, and one signal ends it with
    all that it has started.
    """
    return (_FORKS and _forked()) or subprocess.Popen(
        _command("lvmbench.execution.serving", "serve"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **_ONE_THREAD, **environment},
    )


def _forked() -> Forked | None:
    with _lock:
        return _current().fork()


def _current() -> _Server:
    """The server in use: another one where what processes inherit has changed."""
    if not _servers or not _servers[-1].is_of_use:
        for server in _servers:
            server.retire()
        _servers[:] = [*filter(lambda server: server.lives, _servers), _Server()]
    return _servers[-1]


@atexit.register
def _end() -> None:
    for server in _servers:
        server.end()


def _command(module: str, function: str, *words: str) -> list[str]:
    """A Python that calls a function: it finds modules where this one does, without importing its script."""
    path = f"import sys; sys.path[:] = {search_path()!a}"
    program = f"{path}; from {module} import {function}; {function}{words!r}"
    return [sys.executable, "-u", "-c", program]


def _inherited() -> object:
    """What a process has from the one that starts it, and nothing can be told of later."""
    read_once = {name: value for name, value in os.environ.items() if name.startswith(READ_ONCE)}
    limits = [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"]
    mask = re.search(r"Umask:\s*(\d+)", Path("/proc/self/status").read_text())
    return read_once, limits, mask and mask[1]


def _number(status: int) -> int:
    """The next number that is told; raises `EOFError` where there is nobody left who could."""
    content = os.read(status, NUMBER.size)
    if not content:
        raise EOFError
    return int(NUMBER.unpack(content)[0])
