"""Foreign code under guard: what it prints is caught, its time is limited,
and global state is as it was before.
"""

from __future__ import annotations

import io
import math
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

from lvmbench.errors import UserError
from lvmbench.text import listed

TIMEOUT = "LVMBENCH_PLUGIN_TIMEOUT"
SHOWN = 200
NAMED = 5
"""So many things that a component has changed are named."""


class Overtime(BaseException):
    """Code that has taken too long; no ``except Exception`` of its own swallows it."""


class Escape(Exception):  # noqa: N818
    """What code raised that would have ended the process, such as `SystemExit`."""


class Note(NamedTuple):
    """What guarded code did beside its work: the stage ``output`` or ``state``, and what happened."""

    stage: str
    message: str


class _Setting(NamedTuple):
    """One piece of global state.

    ``default`` is what it is where the module has just been imported, if that is known.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    default: Any = None


def time_limit() -> float:
    """Seconds that a plugin may take: ``LVMBENCH_PLUGIN_TIMEOUT``, else 20; 0 is no limit.

    Raises `UserError` for a bad one.
    """
    text = os.environ.get(TIMEOUT) or "20"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f"{TIMEOUT}: should be a number of seconds of at least 0, got '{text}'")
    return seconds


@contextmanager
def guarded(notes: list[Note]) -> Iterator[None]:
    """Run code with its output caught, its time limited and its changes to global state undone.

    Output and changes are noted.

    Raises `Overtime` where the code takes too long, in the main thread of systems that have alarms; elsewhere
    there is no limit. Only what is written through Python is caught.
    """
    printed, changed = io.StringIO(), list[str]()
    try:
        with preserved(changed), redirect_stdout(printed), redirect_stderr(printed), _alarm(time_limit()):
            yield
    finally:
        if text := " ".join(printed.getvalue().split()):
            notes.append(Note("output", f"printed '{text[:SHOWN]}{'…' * (len(text) > SHOWN)}'"))
        if changed:
            notes.append(Note("state", f"changed {', '.join(changed)}, which is undone"))


@contextmanager
def preserved(changed: list[str]) -> Iterator[None]:
    """Undo what code does to global state, and say what it changed.

    That is the working directory, the umask, the environment, the default type and device, gradient mode and
    threads of torch, and the seeds of torch, numpy and random. Where the code itself imports a module, what
    is known of its defaults is restored.

    What would end the process comes as an `Escape`.
    """
    values = {setting.name: setting.read() for setting in _settings()}
    variables = dict(os.environ)
    try:
        with contained():
            yield
    finally:
        changed += _restore_variables(variables)
        changed += [s.name for s in _settings() if _undo(s, values.get(s.name, s.default))]


@contextmanager
def contained() -> Iterator[None]:
    """Run code that does not own the process: what it raises to end it, such as `SystemExit`, is an `Escape`.

    Not so a `KeyboardInterrupt` where there may be somebody at a keyboard.
    """
    try:
        yield
    except (Exception, Overtime):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            raise
        raise Escape from error


def origin(error: BaseException) -> BaseException:
    """What was raised, of an `Escape` as of anything else."""
    return error.__cause__ if isinstance(error, Escape) and error.__cause__ else error


@contextmanager
def noted(remarks: list[str]) -> Iterator[None]:
    """Run a component's work with global state preserved and its warnings kept off the screen.

    Remarks say of what.
    """
    changed = list[str]()
    with warnings.catch_warnings(record=True) as heard, preserved(changed):
        yield
    if changed:
        remarks.append(f"a component changed {listed(changed, NAMED)}, which was undone")
    remarks += dict.fromkeys(
        f"{w.category.__name__}: {' '.join(str(w.message).split())}"[:SHOWN] for w in heard
    )


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `Overtime` after some seconds, where that is possible; an alarm that was set before goes on."""
    possible = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    if not (possible and seconds):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise Overtime(f"took longer than {seconds:g} s ({TIMEOUT})")

    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, left, interval)


def _settings() -> list[_Setting]:
    """The global state of the modules that are imported."""
    settings = [
        _Setting("the seed of random", random.getstate, random.setstate),
        _Setting("the working directory", _directory, os.chdir),
        _Setting("the mode of new files", _umask, os.umask),
    ]
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    if hasattr(numpy, "random"):
        settings.append(_Setting("the seed of numpy", numpy.random.get_state, numpy.random.set_state))
    if hasattr(torch, "get_default_device"):
        settings += _torch_settings(torch)
    return settings


def _directory() -> str | None:
    """The working directory, unless it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _umask() -> int:
    """Which rights new files are not given; to ask for it is to set it."""
    os.umask(mask := os.umask(0o077))
    return mask


def _restore_variables(before: dict[str, str]) -> list[str]:
    """Put environment variables back; new ones, which libraries set when they are imported, are no news."""
    now = dict(os.environ)
    if now == before:
        return []
    changed = [name for name, value in before.items() if now.get(name) != value]
    for name in now.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: before[name] for name in changed})
    return [f"the environment variable {name}" for name in changed]


def _torch_settings(torch: Any) -> list[_Setting]:
    def set_device(name: str) -> None:
        torch.set_default_device(None if name == "cpu" else name)

    return [
        _Setting("torch's default type", torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        _Setting("torch's default device", lambda: str(torch.get_default_device()), set_device, "cpu"),
        _Setting("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled, True),
        _Setting("torch's threads", torch.get_num_threads, torch.set_num_threads),
        _Setting("the seed of torch", torch.get_rng_state, torch.set_rng_state),
    ]


def _undo(setting: _Setting, value: Any) -> bool:
    """Put a setting back to what it was, where that is known; says whether it was another."""
    changed = value is not None and not _equal(setting.read(), value)
    if changed:
        setting.write(value)
    return changed


def _equal(a: Any, b: Any) -> bool:
    """Whether two values are the same; arrays and tensors, also in a tuple, are by their numbers."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return _same(a, b)


def _same(a: Any, b: Any) -> bool:
    same = a == b
    return bool(same.all() if hasattr(same, "all") else same)
