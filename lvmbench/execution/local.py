"""Executors on this machine: worker processes that can be killed, and this process itself."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from lvmbench.errors import LvmbenchError
from lvmbench.execution.executor import Crash, Ended, Executor, Limits, Resources, Work, cores, do
from lvmbench.execution.fates import crash_of, death, kills_for_memory
from lvmbench.execution.process import ENDED, WorkerProcess
from lvmbench.execution.progress import NowAndThen, Progress
from lvmbench.execution.serving import DONE, PROGRESS, READY
from lvmbench.registry.words import reason_of
from lvmbench.status import Status

TICK = 0.2
"""Seconds between two looks at limits of time and memory."""
WARM_UP = 300.0
"""Seconds after which a worker that is not ready for jobs is taken to hang."""
FALSE_STARTS = 3
"""So many workers in a row may end before one has been ready."""
GIB = 2**30
_NONE = Limits()
_NOTHING: tuple[Work, Any] = ("builtins:max", 0)


_Event = tuple[WorkerProcess, str, Any]


class CannotStart(LvmbenchError):  # noqa: N818
    """Worker processes end before they are ready for a job."""


class LocalExecutor:
    """Does jobs in worker processes, with one thread each; a job that is ended costs no other.

    A worker is kept for the next job, and replaced when it has died or had to be killed. The clock of a job
    starts when a worker that is warm begins it.

    Arguments:
        workers: How many processes.
    """

    def __init__(self, workers: int) -> None:
        self.resources, self._warm_up = Resources(workers), _NOTHING
        self._workers: list[WorkerProcess] = []
        self._waiting: deque[tuple[int, Work, Any, Limits]] = deque()
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._news: dict[int, Progress] = {}
        self._false_starts, self._kills = 0, kills_for_memory()

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

    def submit(self, number: int, work: Work, job: Any, limits: Limits = _NONE) -> None:
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

    def completed(self, seconds: float) -> list[Ended]:
        """The jobs that end, as soon as there are any, within some seconds."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            ended = [*self._heard(max(0.0, min(left, TICK))), *self._watched()]
            self._give()
            if ended or left <= 0:
                return ended

    def _give(self) -> None:
        """Give waiting jobs to workers that are ready, and start as many as there are jobs for."""
        for worker in self._workers:
            if worker.idle and self._waiting:
                worker.give(*self._waiting.popleft())
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(self.resources.workers - len(self._workers), len(self._waiting) - starting)):
            self._workers.append(WorkerProcess(self._events, self._warm_up, {}))

    def _heard(self, seconds: float) -> list[Ended]:
        """What a worker has said within some seconds."""
        with suppress(Empty):
            worker, about, content = self._events.get(timeout=seconds)
            if worker in self._workers:  # others were killed, and what they said since does not count
                return self._took_in(worker, about, content)
        return []

    def _took_in(self, worker: WorkerProcess, about: str, content: Any) -> list[Ended]:
        if about == READY:
            worker.ready, self._false_starts = True, 0
        elif about == PROGRESS:
            self._news[worker.number] = content.after(self._news.get(worker.number))
        elif about == DONE:
            return [self._done(worker, content)]
        elif about == ENDED:
            return self._lost(worker)
        return []

    def _done(self, worker: WorkerProcess, content: bytes) -> Ended:
        number, worker.number = worker.number, -1
        return Ended(number, _unpacked(content), worker.log, worker.look(), self._news.pop(number, None))

    def _watched(self) -> list[Ended]:
        """The jobs whose worker is dead, or has had to be killed."""
        return [ended for worker in [*self._workers] for ended in self._watch(worker)]

    def _watch(self, worker: WorkerProcess) -> list[Ended]:
        if worker.exitcode is not None:
            return self._lost(worker)
        taken, memory = time.monotonic() - worker.since, worker.look()
        if not worker.ready:
            return self._lost(worker) if taken > WARM_UP else []
        if worker.number < 0:
            return []
        limits = worker.limits
        if limits.seconds and taken > limits.seconds:
            text = f"took longer than {limits.seconds:g} s (--timeout)"
            return self._lost(worker, Crash(Status.TIMEOUT, text))
        if limits.memory and memory > limits.memory:
            text = f"took {memory / GIB:.2f} GiB, more than {limits.memory / GIB:.2f} (--memory)"
            return self._lost(worker, Crash(Status.OOM, text))
        return []

    def _lost(self, worker: WorkerProcess, crash: Crash | None = None) -> list[Ended]:
        """The job that is lost with a worker, which is ended if it is not dead."""
        code = worker.exitcode
        self._workers.remove(worker)
        killed = worker.kill()
        if worker.number < 0:
            self._count_start(worker, killed if code is None else code)
            return []
        if done := self._last_words(worker):
            return done
        crash = crash or death(killed if code is None else code, self._kills)
        self._kills = kills_for_memory()
        news = self._news.pop(worker.number, None)
        return [Ended(worker.number, crash, worker.log, worker.memory or None, news)]

    def _last_words(self, worker: WorkerProcess) -> list[Ended]:
        """Take in what a dead worker had still said; maybe its job was done."""
        words, others = list[_Event](), list[_Event]()
        with suppress(Empty):
            while True:
                event = self._events.get_nowait()
                (words if event[0] is worker else others).append(event)
        for event in others:
            self._events.put(event)
        said = [(about, content) for _, about, content in words if about in {PROGRESS, DONE}]
        return [ended for about, content in said for ended in self._took_in(worker, about, content)]

    def _count_start(self, worker: WorkerProcess, code: int) -> None:
        """Raise `CannotStart` where workers do nothing but end before they are ready."""
        self._false_starts += not worker.ready
        if self._false_starts >= FALSE_STARTS:
            said = f": {' '.join(worker.log.split())}" if worker.log else ""
            raise CannotStart(f"worker processes cannot start (exit code {code}){said}")


def _unpacked(content: bytes) -> Any:
    """An outcome, or what became of it where it cannot be read here."""
    try:
        return pickle.loads(content)
    except Exception as error:
        return Crash(Status.FAILED, f"the outcome cannot be read: {reason_of(error)}")


class HereExecutor:
    """Does jobs in this process, one at a time, without isolation or limits."""

    resources = Resources(1)

    def __init__(self) -> None:
        self._job: tuple[int, Work, Any] | None = None
        self._hear: Callable[[int, Progress], None] = lambda number, news: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.cancel()

    def prepare(self, work: Work, job: Any) -> None:
        """Do nothing: here everything is ready."""

    @property
    def room(self) -> int:
        """Whether a job may be submitted: 1 or 0."""
        return int(self._job is None)

    def submit(self, number: int, work: Work, job: Any, limits: Limits = _NONE) -> None:
        """Take a job, which the next call of `completed` does."""
        self._job = (number, work, job)

    def cancel(self) -> None:
        """Forget the job that was taken."""
        self._job = None

    def progress(self) -> Mapping[int, Progress]:
        """Nothing: no job runs while anybody can ask."""
        return {}

    def listen(self, hear: Callable[[int, Progress], None]) -> None:
        """Have news told while `completed` does a job."""
        self._hear = hear

    def completed(self, seconds: float) -> list[Ended]:
        """The job that was taken, done."""
        if self._job is None:
            time.sleep(seconds)
            return []
        (number, work, job), self._job = self._job, None
        try:
            return [Ended(number, do(work, job, NowAndThen(partial(self._hear, number))))]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return [Ended(number, crash_of(error))]


def executor_of(jobs: int | None) -> Executor:
    """Where so many jobs are done at once; 0 are done in this process, and by default it is one per core."""
    return HereExecutor() if jobs == 0 else LocalExecutor(jobs or cores())
