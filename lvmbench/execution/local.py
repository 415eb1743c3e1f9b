"""The local executor: worker processes that can be killed, one torch thread each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from lvmbench.execution.progress import Progress, ProgressFile
from lvmbench.status import Status

T = TypeVar("T")
J = TypeVar("J")
Task = Callable[[J, ProgressFile], T]


class Crash(Exception):  # noqa: N818
    """A job that ended without an outcome of its own: killed, or out of time."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class LocalExecutor(Generic[J]):
    """Runs jobs in worker processes; one that dies or runs out of time costs only the job it was doing.

    Arguments:
        workers: How many processes; 0 runs the jobs in this process, without isolation or time limit.
        timeout: Seconds that one job may take.
    """

    def __init__(self, workers: int, timeout: float | None = None) -> None:
        self.workers, self.timeout = workers, timeout
        self._waiting: deque[tuple[int, Task[J, Any], J]] = deque()
        self._futures: dict[Future[Any], int] = {}
        self._pool: ProcessPool | None = None
        self._progress = tempfile.TemporaryDirectory(prefix="lvmbench-progress-")

    def __enter__(self) -> LocalExecutor[J]:
        if self.workers:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(self.workers, context=context, initializer=_start_worker)
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool:
            self._pool.stop() if error[0] else self._pool.close()
            self._pool.join()
        self._progress.cleanup()

    def submit(self, number: int, work: Task[J, T], job: J, *, first: bool = False) -> None:
        """Queue a job under a number of the caller's, before the ones that wait if ``first``."""
        place = self._waiting.appendleft if first else self._waiting.append
        place((number, work, job))

    def _start(self) -> None:
        """Give waiting jobs to the workers that are free."""
        while self._waiting and len(self._futures) < max(1, self.workers):
            number, work, job = self._waiting.popleft()
            progress = self._news(number)
            if self._pool is None:
                future = _run_here(work, job, progress)
            else:
                with _uninterrupted():
                    future = self._pool.schedule(work, args=[job, progress], timeout=self.timeout)
            self._futures[future] = number

    def _news(self, number: int) -> ProgressFile:
        return ProgressFile(Path(self._progress.name) / str(number))

    def completed(self, on_progress: Callable[[int, Progress], None]) -> Iterator[tuple[int, Any]]:
        """Yield the number and the outcome, or the `Crash`, of each job as it ends.

        Jobs may be submitted meanwhile.
        """
        with _interrupted_between_jobs(bool(self.workers)) as stop_if_asked:
            while self._waiting or self._futures:
                stop_if_asked()
                self._start()
                done, running = wait(self._futures, timeout=0.2, return_when=FIRST_COMPLETED)
                for number in (self._futures[future] for future in running):
                    if news := self._news(number).read():
                        on_progress(number, news)
                for future in done:
                    yield self._futures.pop(future), self._outcome(future)

    def _outcome(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except TimeoutError:
            return Crash(Status.TIMEOUT, f"took longer than {self.timeout:g} s (--timeout)")
        except ProcessExpired as error:
            return Crash(Status.KILLED, _death(error.exitcode))


@contextlib.contextmanager
def _interrupted_between_jobs(wanted: bool) -> Iterator[Callable[[], None]]:
    """Let the first Ctrl-C wait for the next call of what this gives, which then raises it.

    A second one is raised at once.

    Raised anywhere, it could leave a lock of a job's future taken, for which the end of the pool would wait
    forever.
    """
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    if not wanted or threading.current_thread() is not threading.main_thread():
        yield stop_if_asked
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C waiting, and from the processes and threads that are started meanwhile:
    the runner ends those itself.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # when it starts, it lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_here(work: Task[J, T], job: J, progress: ProgressFile) -> Future[T]:
    future: Future[T] = Future()
    try:
        future.set_result(work(job, progress))
    except Exception as error:
        future.set_exception(error)
    return future


def _death(exitcode: int) -> str:
    """How a worker process died, in words."""
    if exitcode == -9:
        return "the worker process was killed (signal 9), perhaps for using too much memory"
    return f"the worker process died ({f'signal {-exitcode}' if exitcode < 0 else f'exit code {exitcode}'})"


def _start_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """Do no more work for a runner that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
