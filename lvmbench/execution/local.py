"""Executors on this machine: worker processes that can be killed, and this process itself."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from lvmbench.execution.executor import UNLIMITED, Crash, Ended, Limits, Resources, Work, do
from lvmbench.execution.fates import crash_of, death, kills_for_memory
from lvmbench.execution.gpus import VISIBLE, emptiest
from lvmbench.execution.pool import Pool
from lvmbench.execution.process import ENDED, WorkerProcess
from lvmbench.execution.progress import NowAndThen, Progress
from lvmbench.execution.serving import DONE, PROGRESS, READY
from lvmbench.execution.starting import get_ready
from lvmbench.registry.words import reason_of
from lvmbench.status import Status

TICK = 0.2
"""Seconds between two looks at limits of time and memory."""
WARM_UP = 300.0
"""Seconds after which a worker that is not ready for jobs is taken to hang."""
GIB = 2**30

_Event = tuple[WorkerProcess, str, Any]


class LocalExecutor(Pool[WorkerProcess]):
    """Does jobs in worker processes, with one thread each; a job that is ended costs no other.

    A worker is kept for the next job, and replaced when it has died or had to be killed. The clock of a job
    starts when a worker that is warm begins it.

    Arguments:
        workers: How many processes.
        gpus: GPUs that are divided among them; each then sees but one, and else all that there are.
    """

    elsewhere = False

    def __init__(self, workers: int, gpus: Sequence[str] = ()) -> None:
        super().__init__()
        self.resources, self._gpus = Resources(workers, len(gpus)), gpus
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._kills = kills_for_memory()

    def __enter__(self) -> Self:
        get_ready()
        return super().__enter__()

    def prepare(self, work: Work, job: Any) -> None:
        """Have this done by every worker before its next job."""
        super().prepare(work, job)
        for worker in self._workers:
            if worker.idle:
                worker.prepare(work, job)

    def completed(self, seconds: float) -> list[Ended]:
        """The jobs that end, as soon as there are any, within some seconds."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            ended = [*self._heard(max(0.0, min(left, TICK))), *self._watched()]
            self._give()
            if ended or left <= 0:
                return ended

    def _start(self) -> WorkerProcess:
        environment = {}
        if len(self._gpus) > 1:
            environment[VISIBLE] = emptiest(self._gpus, (w.environment[VISIBLE] for w in self._workers))
        return WorkerProcess(self._events, self._warm_up, environment)

    def _heard(self, seconds: float) -> list[Ended]:
        """What a worker has said within some seconds."""
        with suppress(Empty):
            worker, about, content = self._events.get(timeout=seconds)
            if worker in self._workers:  # others were killed, and what they said since does not count
                return self._took_in(worker, about, content)
        return []

    def _took_in(self, worker: WorkerProcess, about: str, content: Any) -> list[Ended]:
        if about == READY or (about == DONE and not worker.ready):
            worker.ready, worker.prepared, self._false_starts = True, _unpacked(content), 0
        elif about == PROGRESS and worker.number >= 0:
            self._take_news(worker, content)
        elif about == DONE:
            return [self._done(worker, content)]
        elif about == ENDED:
            return self._lost(worker)
        return []

    def _done(self, worker: WorkerProcess, content: bytes) -> Ended:
        number, worker.number = worker.number, -1
        news = self._news.pop(number, None)
        return Ended(number, _unpacked(content), worker.log, worker.look(), news, worker.prepared)

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
            said = f": {' '.join(worker.log.split())}" if worker.log else ""
            self._count_start(worker, f"(exit code {killed if code is None else code}){said}")
            return []
        if done := self._last_words(worker):
            return done
        crash = crash or death(killed if code is None else code, self._kills)
        self._kills = kills_for_memory()
        news = self._news.pop(worker.number, None)
        memory = worker.memory or None
        return [Ended(worker.number, crash, worker.log, memory, news, worker.prepared)]

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


def _unpacked(content: bytes) -> Any:
    """An outcome, or what became of it where it cannot be read here."""
    try:
        return pickle.loads(content)
    except Exception as error:
        return Crash(Status.FAILED, f"the outcome cannot be read: {reason_of(error)}")


class HereExecutor:
    """Does jobs in this process, one at a time, without isolation or limits."""

    resources, elsewhere = Resources(1), False

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

    def submit(self, number: int, work: Work, job: Any, limits: Limits = UNLIMITED) -> None:
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
