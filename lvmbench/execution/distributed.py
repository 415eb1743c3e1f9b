"""An executor on the machines of a Ray cluster."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from lvmbench.errors import UserError
from lvmbench.execution import cluster
from lvmbench.execution.cluster import need_of, require_place
from lvmbench.execution.executor import UNLIMITED, Crash, Ended, Limits, Resources, Work, cores
from lvmbench.execution.fates import crash_of, unkept
from lvmbench.execution.host import Arrived, Heard, Host, put, taken
from lvmbench.execution.jobs import Job, Measuring
from lvmbench.execution.pool import Pool
from lvmbench.registry.words import REASON
from lvmbench.status import Status
from lvmbench.text import shortened

LOOK = 5.0
"""Seconds between two looks at which nodes there are."""
HEAR = 1.0
"""Seconds after which a worker says how far its job has got."""
NEWS = 100
"""So many workers at most say that in a second."""
PATIENCE = 600.0
"""Seconds that there may be no node that has room for a job."""


class _Token:
    """A file of the results folder, by which workers see whether they share that."""

    def __init__(self) -> None:
        self.path: Path | None = None

    def lie_in(self, folder: Path) -> None:
        """Make it, once; without it the folder is taken not to be shared."""
        if self.path is None:
            with suppress(OSError):
                path = folder / f".shared-{uuid4().hex}"
                path.touch()
                self.path = path

    def remove(self) -> None:
        """Remove it."""
        if self.path:
            self.path.unlink(missing_ok=True)


class RemoteWorker:
    """A `Host` on some node, as its runner has it: one call of it is always on its way while it has work.

    Arguments:
        actor: Ray's handle of the host.
        warm_up: What is done there before it is ready for jobs, and for what.
        token: A file that shows whether the results folder is shared.
    """

    def __init__(self, actor: Any, warm_up: tuple[Work, Any], token: Path | None) -> None:
        self.actor, self.ready, self.number = actor, False, -1
        self.arrived = Arrived("", "", None, shares=False)
        self.job: Any = None
        self.answer: Any = actor.arrive.remote(*warm_up, token)

    @property
    def idle(self) -> bool:
        """Whether it may be given a job."""
        return self.ready and self.number < 0

    def take_in(self, arrived: Arrived) -> None:
        """Be ready, as it has arrived."""
        self.ready, self.arrived, self.answer = True, arrived, None

    def give(self, number: int, work: Work, job: Any, limits: Limits) -> None:
        """Let it begin a job, with the files that it reads where it does not see them."""
        self.number, self.job, files = number, job, None
        if isinstance(job, Job | Measuring) and not self.arrived.shares:
            files = taken(job.reads, job.folder)
        self.answer = self.actor.begin.remote(number, work, job, limits, files, HEAR)

    def listen(self, seconds: float) -> None:
        """Ask what is new of the job, within some seconds."""
        self.answer = self.actor.hear.remote(seconds)

    def rest(self) -> None:
        """Have no job any more."""
        self.number, self.job, self.answer = -1, None, None

    def kill(self) -> None:
        """End it, and what it does: the process that does the job ends with it."""
        with suppress(Exception):
            cluster.library().kill(self.actor)


class RayExecutor(Pool[RemoteWorker]):
    """Does jobs in worker processes of the nodes of a Ray cluster; what is lost with one costs no other.

    Each worker takes from the cluster what one job needs, and keeps it until the end. Raises `UserError`
    where the cluster cannot be joined, or has no node with that.

    Arguments:
        address: Where the cluster is; by default it is started here.
        workers: How many workers; by default as many as the nodes that are there have room for.
        device: Where jobs are done: ``cpu``, ``cuda``, or ``auto`` for GPUs where there are any.
        jobs_per_gpu: How many workers share a GPU.
        memory: Bytes that a job may take, which its node must have.
    """

    elsewhere = True

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        device: str = "auto",
        jobs_per_gpu: int = 1,
        memory: int = 0,
    ) -> None:
        super().__init__()
        self._leaves = cluster.join(address, workers or cores())
        self._wished, self._token, self._refused = workers, _Token(), ""
        try:
            nodes = [*cluster.nodes().values()]
            self._need = need_of(device, jobs_per_gpu, memory, nodes)
            require_place(self._need, nodes)
        except UserError:
            self._leave()
            raise
        self._look()
        self.borne *= max(node.places(self._need) for node in nodes)  # a node may be lost while all start
        cpus, gpus, _ = self._need
        self._hosts = cluster.library().remote(num_cpus=cpus, num_gpus=gpus, memory=memory or None)(Host)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.cancel()
        self._token.remove()
        self._leave()

    def submit(self, number: int, work: Work, job: Any, limits: Limits = UNLIMITED) -> None:
        """Begin a job, under a number of the caller's, as soon as a worker is ready."""
        if isinstance(job, Job | Measuring):
            self._token.lie_in(job.folder)
        super().submit(number, work, job, limits)

    def completed(self, seconds: float) -> list[Ended]:
        """The jobs that end, as soon as there is anything new of any, within some seconds."""
        if time.monotonic() - self._looked > LOOK:
            self._look()
        self._give()
        asked = {worker.answer: worker for worker in self._workers if worker.answer is not None}
        if not asked:
            time.sleep(seconds)
            return []
        wait = cluster.library().wait
        answers, silent = wait([*asked], timeout=seconds)
        if answers and silent:
            answers += wait(silent, num_returns=len(silent), timeout=0)[0]
        ended = [one for answer in answers for one in self._heard(asked[answer])]
        if self._refused and not ended:
            raise UserError(self._refused)
        self._give()
        return ended

    def _start(self) -> RemoteWorker:
        actor = self._hosts.remote(gpus=self._need.gpus > 0)
        return RemoteWorker(actor, self._warm_up, self._token.path)

    def _look(self) -> None:
        """See what the nodes have room for, and forget workers without a job on those that are gone."""
        nodes, self._looked = cluster.nodes(), time.monotonic()
        places = sum(node.places(self._need) for node in nodes.values())
        self.resources = Resources(self._wished or places, int(sum(node.gpus for node in nodes.values())))
        self._workers = [w for w in self._workers if not w.idle or w.arrived.node in nodes]
        if places:
            self._had_room = self._looked
        elif self._looked - self._had_room > PATIENCE:
            raise UserError(f"--executor ray: for {PATIENCE:g} s no node has had room for a job; add some")

    def _heard(self, worker: RemoteWorker) -> list[Ended]:
        """What a worker has answered, or what became of its job if it cannot."""
        errors = cluster.library().exceptions
        try:
            answer = cluster.library().get(worker.answer)
        except errors.RayTaskError as error:
            return self._lost(worker, crash_of(error.cause))
        except errors.OutOfMemoryError as error:
            text = f"Ray ended a worker on {worker.arrived.machine}, whose memory was spent"
            return self._lost(worker, Crash(Status.OOM, text, foreign=True), error)
        except errors.RayError as error:
            text = f"the worker on {worker.arrived.machine} was lost"
            return self._lost(worker, Crash(Status.KILLED, text, foreign=True), error)
        if isinstance(answer, Arrived):
            return self._greet(worker, answer)
        return self._took_in(worker, answer)

    def _greet(self, worker: RemoteWorker, arrived: Arrived) -> list[Ended]:
        """Have a new worker, unless its machine is not as it is to be."""
        worker.take_in(arrived)
        self._false_starts = 0
        if isinstance(arrived.prepared, Crash):
            worker.ready = False
            self._refused = f"--executor ray: on machine '{arrived.machine}': {arrived.prepared.reason}"
        return []

    def _took_in(self, worker: RemoteWorker, heard: Heard) -> list[Ended]:
        if heard.news:
            self._take_news(worker, heard.news)
        if heard.ended is None:
            worker.listen(max(HEAR, len(self._workers) / NEWS))
            return []
        ended, job = replace(heard.ended, news=self._news.pop(worker.number, None)), worker.job
        worker.rest()
        if heard.files:
            try:
                put(heard.files, job.folder)
            except OSError as error:
                return [replace(ended, outcome=crash_of(unkept(job.folder, error)))]
        return [ended]

    def _lost(self, worker: RemoteWorker, crash: Crash, error: Exception | None = None) -> list[Ended]:
        """The job that is lost with a worker."""
        self._workers.remove(worker)
        worker.kill()
        if worker.number < 0:
            self._count_start(worker, f"on Ray: {crash.reason if error is None else _last_line(error)}")
            return []
        news = self._news.pop(worker.number, None)
        return [Ended(worker.number, crash, news=news, prepared=worker.arrived.prepared)]

    def _leave(self) -> None:
        if self._leaves:
            self._leaves = False
            cluster.library().shutdown()


def _last_line(error: Exception) -> str:
    """What Ray says last of an error, which is its cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(lines[-1] if lines else type(error).__name__, REASON)
