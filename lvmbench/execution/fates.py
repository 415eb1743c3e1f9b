"""What becomes of work that did not end well: a status and a reason."""

from __future__ import annotations

import signal
from pathlib import Path

from lvmbench.errors import LvmbenchError, Refusal, Unavailable
from lvmbench.execution.executor import Crash
from lvmbench.registry.sandbox import origin
from lvmbench.registry.words import reason_of, traceback_of
from lvmbench.status import Status, answered

_FOREIGN = (signal.SIGKILL, signal.SIGTERM) if hasattr(signal, "SIGKILL") else (signal.SIGTERM,)
"""Signals that others send; those that a process earns by itself are another matter."""
_KILLS = Path("/proc/vmstat")


class Unkept(LvmbenchError):  # noqa: N818
    """Results for which there is no place: their run is unfinished, through no fault of its own."""


def unkept(folder: Path, error: OSError) -> Unkept:
    """What is said of a folder that cannot be written to."""
    return Unkept(f"'{folder}' cannot be written to: {error.strerror}")


def crash_of(error: BaseException) -> Crash:
    """What became of work that raised; with a traceback where it is not a plain answer."""
    error = origin(error)
    if isinstance(error, Refusal | Unavailable):
        return Crash(answered(error), reason_of(error))
    if isinstance(error, Unkept):
        return Crash(Status.INTERRUPTED, reason_of(error))
    status = Status.OOM if _is_out_of_memory(error) else Status.FAILED
    return Crash(status, reason_of(error), traceback_of(error))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was spent; for other memory than CUDA's, torch says so in the words of a plain error."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in reason_of(error) for word in words)


def death(exitcode: int, kills: int) -> Crash:
    """How a worker process died.

    Arguments:
        exitcode: Its exit code, or the signal with a minus.
        kills: How many processes the system had killed for want of memory when the job began.
    """
    if exitcode >= 0:
        return Crash(Status.KILLED, f"the worker process ended by itself (exit code {exitcode})")
    name = _signal_name(-exitcode)
    if -exitcode == _FOREIGN[0] and kills_for_memory() > kills:
        return Crash(Status.OOM, f"the system killed the worker process for want of memory ({name})")
    return Crash(Status.KILLED, f"the worker process was killed ({name})", foreign=-exitcode in _FOREIGN)


def _signal_name(number: int) -> str:
    try:
        return f"signal {number}, {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"


def kills_for_memory() -> int:
    """How many processes this system has killed for want of memory; 0 where it does not say."""
    try:
        lines = _KILLS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
