"""The process that workers are forked from: what they import, it has imported, so that they start at once.

Nothing happens in it but imports of lvmbench's own modules and of what these need: it loads no plugin, uses
no GPU and has a single thread, so that a fork of it is as good as a process that was started by itself.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from lvmbench.execution.serving import serve

IDLE = 600.0
"""Seconds after which it ends when it is asked for nothing and none of its processes is left: in a notebook
the next suite begins sooner for it.
"""
FORK, LAST = b"f", b"l"
"""What it is asked: for a process; and for none any more, though those that there are go on."""
NUMBER = struct.Struct("!i")


def serve_forks(*modules: str) -> None:
    """Import modules, and then fork a worker whenever the socket asks for one that is the standard input.

    It ends where it is not safe to fork.
    """
    requests = socket.socket(fileno=os.dup(0))
    for name in modules:
        with suppress(Exception):  # each worker that needs it will tell
            importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) == 1:  # a fork would have none of the others, but their locks
        os.chdir("/")
        gc.freeze()  # what is never collected is never written to, so that all share it
        ForkServer(requests).run()


class ForkServer:
    """Forks processes, and tells how each ends.

    Arguments:
        requests: Where it is asked, together with the streams of the process and where to tell.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests, self._asked = requests, True
        self._children = dict[int, int]()
        self._deaths, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(self._woken)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def run(self) -> None:
        """Serve until nobody is there any more who asks; what it has forked ends with whom it is for."""
        while self._asked or self._children:
            heard = [self._deaths, self._requests.fileno()] if self._asked else [self._deaths]
            ready, _, _ = select.select(heard, [], [], None if self._children else IDLE)
            if self._deaths in ready:
                os.read(self._deaths, 2**16)
                self._tell_deaths()
            if self._requests.fileno() in ready:
                self._take_request()
            if not ready:
                return

    def _take_request(self) -> None:
        word, ends, _, _ = socket.recv_fds(self._requests, 1, 4)
        if word == FORK:
            self._fork(ends)
            return
        self._asked = False
        if word != LAST:
            self._kill()

    def _fork(self, ends: Sequence[int]) -> None:
        *streams, told = ends
        child = os.fork()
        if child == 0:
            self._work(streams, told)
        for stream in streams:
            os.close(stream)
        self._children[child] = told
        _tell(told, child)

    def _work(self, streams: Sequence[int], told: int) -> NoReturn:
        """Be a worker: a leader of a group of its own, with nothing of the server but its modules."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for end in (*streams, told, self._deaths, self._woken, *self._children.values()):
                os.close(end)
            self._requests.close()
            if random := sys.modules.get("numpy.random"):
                random.seed()  # the others have been seeded anew
            serve()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _tell_deaths(self) -> None:
        while self._children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            told = self._children.pop(child)
            _tell(told, os.waitstatus_to_exitcode(status))
            os.close(told)

    def _kill(self) -> None:
        """End every process with all that it has started: those who wanted it are gone."""
        for child in self._children:
            for kill in (os.killpg, os.kill):
                with suppress(ProcessLookupError):
                    kill(child, signal.SIGKILL)


def _tell(told: int, number: int) -> None:
    with suppress(OSError):  # nobody wants to know any more
        os.write(told, NUMBER.pack(number))
