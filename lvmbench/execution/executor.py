"""What an executor is: a place where jobs are done, be it this process, others, or other machines."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from lvmbench.execution.progress import Progress
from lvmbench.stages import stage
from lvmbench.status import Status

Tell = Callable[[Progress], None]
Work = str
"""What is done with a job, as ``module:function``: it is imported where it is done, and nowhere else."""


@dataclass(frozen=True)
class Crash:
    """A job that ended without an outcome of its own.

    Arguments:
        status: What that is called.
        reason: Why, in one line.
        traceback: Where, if something was raised.
        foreign: Whether it was done to the job from outside, so that it may be tried again.
    """

    status: Status
    reason: str
    traceback: str | None = None
    foreign: bool = False


@dataclass(frozen=True)
class Ended:
    """What became of a job: its outcome or `Crash`, the end of what it printed, its largest memory, how far
    it had got, where that was not told, and what had been prepared where it was done.
    """

    number: int
    outcome: Any
    log: str = ""
    memory: int | None = None
    news: Progress | None = None
    prepared: Any = None


class Limits(NamedTuple):
    """What one job may take: seconds, and bytes of the memory of its worker."""

    seconds: float | None = None
    memory: int | None = None


UNLIMITED = Limits()


class Resources(NamedTuple):
    """What there is to do jobs with: how many at once, and how many GPUs."""

    workers: int
    gpus: int = 0


class Executor(Protocol):
    """Takes jobs as long as it has room, and tells how each has ended.

    It queues nothing: who has more jobs than there is room for keeps them, and may think better of them.
    Leaving a ``with`` ends what still runs.
    """

    elsewhere: bool
    """Whether jobs are done on machines that may have other versions, or a GPU less, than this one."""

    @property
    def resources(self) -> Resources:
        """What it does jobs with."""

    @property
    def room(self) -> int:
        """How many more jobs it would begin at once."""

    def submit(self, number: int, work: Work, job: Any, limits: Limits) -> None:
        """Begin a job, under a number of the caller's, and end it beyond these limits."""

    def completed(self, seconds: float) -> list[Ended]:
        """The jobs that end, as soon as there are any, within some seconds."""

    def progress(self) -> Mapping[int, Progress]:
        """What is new of the jobs that run, by their numbers."""

    def listen(self, hear: Callable[[int, Progress], None]) -> None:
        """Have news told as they come, by the numbers of jobs, where nobody can ask for them meanwhile."""

    def cancel(self) -> None:
        """End every job that runs, at once and without an outcome."""

    def prepare(self, work: Work, job: Any) -> None:
        """Have this done wherever jobs are begun from now on, before the first of them and not as a part.

        Where that is elsewhere, no job is begun at a place where it fails.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...


def do(work: Work, job: Any, tell: Tell) -> Any:
    """Do a job here."""
    name, _, function = work.partition(":")
    with stage("import"):
        module = importlib.import_module(name)
    return getattr(module, function)(job, tell)


def nothing(job: Any, tell: Tell) -> None:
    """Do nothing with a job."""


NOTHING: Work = f"{__name__}:{nothing.__name__}"


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
