"""Jobs as workers do them in tests: work that is imported there, and lines that it executes."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

from lvmbench.execution.progress import Progress


class Own(BaseException):
    """An exception of nobody's kind."""


class Mute(Exception):  # noqa: N818
    """An exception that does not say what it is."""

    def __str__(self):
        raise KeyboardInterrupt


def act(line, tell):
    """Execute a line."""
    names = {m.__name__: m for m in (ctypes, os, signal, subprocess, sys, threading, time)}
    exec(line, {**names, "Own": Own, "Mute": Mute})  # noqa: S102
    return "done"


def leave(job, tell):
    """End the process."""
    os._exit(3)


def process(job, tell):
    return os.getpid()


def wait_for(path, tell):
    """Start only when a file is there."""
    while not os.path.exists(path):
        time.sleep(0.01)


def tell_often(seconds, tell):
    """Tell of an epoch every tenth of a second."""
    for epoch in range(10 * seconds):
        tell(Progress("tell", epoch + 1, 10 * seconds, epochs=((epoch + 1, {}),)))
        time.sleep(0.1)


def count(total, tell):
    """Tell of steps, one after another."""
    for done in range(total):
        tell(Progress("count", done + 1, total))
    return "counted"


def surroundings(job, tell):
    """What the process has of the one that has started it."""
    handled = {name: signal.getsignal(getattr(signal, name)) for name in ("SIGINT", "SIGCHLD", "SIGTERM")}
    os.umask(mask := os.umask(0))
    return {
        "folder": os.getcwd(),
        "variable": os.environ.get("LATER"),
        "threads": os.environ["OMP_NUM_THREADS"],
        "path": sys.path,
        "mask": mask,
        "leads": (os.getsid(0), os.getpgrp()) == (os.getpid(), os.getpid()),
        "open": sorted(map(int, os.listdir("/proc/self/fd")))[:5],
        "signals": {name: str(handler) for name, handler in handled.items()},
        "arguments": sys.argv,
        "buffered": sys.stderr.line_buffering,
    }
