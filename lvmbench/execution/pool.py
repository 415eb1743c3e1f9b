"""Workers and the jobs that wait for them: what executors have in common, wherever their workers are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from lvmbench.errors import LvmbenchError
from lvmbench.execution.executor import NOTHING, UNLIMITED, Limits, Resources, Work
from lvmbench.execution.progress import Progress

FALSE_STARTS = 3
"""So many workers in a row may end before one has been ready."""


class CannotStart(LvmbenchError):  # noqa: N818
    """Workers end before they are ready for a job."""


class Worker(Protocol):
    """Who does one job at a time, of the number that it was given, -1 while it has none."""

    ready: bool
    number: int

    @property
    def idle(self) -> bool:
        """Whether it may be given a job."""

    def give(self, number: int, work: Work, job: Any, limits: Limits) -> None:
        """Let it begin a job."""

    def kill(self) -> object:
        """End it, and what it does."""


W = TypeVar("W", bound=Worker)


class Pool(Generic[W]):
    """Gives jobs to workers, of which it starts as many as there are jobs and room for."""

    resources: Resources
    borne = FALSE_STARTS

    def __init__(self) -> None:
        self._warm_up: tuple[Work, Any] = (NOTHING, None)
        self._workers: list[W] = []
        self._waiting: deque[tuple[int, Work, Any, Limits]] = deque()
        self._news: dict[int, Progress] = {}
        self._false_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.cancel()

    def prepare(self, work: Work, job: Any) -> None:
        """Have this done by every worker that is started from now on, before it is ready for jobs."""
        self._warm_up = (work, job)

    @property
    def room(self) -> int:
        """How many more jobs it would begin at once."""
        return self.resources.workers - len(self._waiting) - sum(w.number >= 0 for w in self._workers)

    def submit(self, number: int, work: Work, job: Any, limits: Limits = UNLIMITED) -> None:
        """Begin a job, under a number of the caller's, as soon as a worker is ready."""
        self._waiting.append((number, work, job, limits))
        self._give()

    def cancel(self) -> None:
        """End all workers, and with them the jobs, at once and without an outcome."""
        self._waiting.clear()
        while self._workers:
            self._workers.pop().kill()

    def progress(self) -> Mapping[int, Progress]:
        """What is new of the jobs that run, by their numbers."""
        news, self._news = self._news, {}
        return news

    def listen(self, hear: Callable[[int, Progress], None]) -> None:
        """Do nothing: one can ask."""

    def _give(self) -> None:
        """Give waiting jobs to workers that are ready, and start as many as there are jobs for."""
        for worker in self._workers:
            if worker.idle and self._waiting:
                worker.give(*self._waiting.popleft())
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(self.resources.workers - len(self._workers), len(self._waiting) - starting)):
            self._workers.append(self._start())

    def _start(self) -> W:
        """Start a worker."""
        raise NotImplementedError

    def _take_news(self, worker: W, news: Progress) -> None:
        self._news[worker.number] = news.after(self._news.get(worker.number))

    def _count_start(self, worker: W, why: str) -> None:
        """Raise `CannotStart` where workers do nothing but end before they are ready."""
        self._false_starts += not worker.ready
        if self._false_starts >= self.borne:
            raise CannotStart(f"worker processes cannot start {why}")
