"""One call of `run`: its jobs, handed to an executor as long as that has room, and what becomes of each."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from lvmbench.errors import UserError
from lvmbench.execution.due import Due, Rest
from lvmbench.execution.executor import Crash, Ended, Executor, Limits
from lvmbench.execution.interruption import Interruption
from lvmbench.execution.jobs import Evaluated, Job, Measuring, Run, Trained
from lvmbench.execution.options import RunOptions
from lvmbench.execution.place import Place
from lvmbench.execution.progress import PAUSE, Progress
from lvmbench.execution.reporter import Reporter
from lvmbench.execution.tasks import Task, Tasks
from lvmbench.execution.tracking import Trackers
from lvmbench.execution.unfinished import remove
from lvmbench.results.connection import OutOfReach
from lvmbench.results.leases import Leases
from lvmbench.results.pictures.board import get_ready_to_draw
from lvmbench.stages import stage
from lvmbench.status import SETTLED, Status
from lvmbench.suites.planned import Planned

T = TypeVar("T")
TRAIN, EVALUATE = "lvmbench.execution.worker:train_job", "lvmbench.execution.worker:evaluate_job"
LOOK = 1.0
"""Seconds after which one looks again whether another process has let go of its runs."""
PATIENCE = 600.0
"""Seconds that a database may be out of reach."""
OWN = {Status.REFUSED, Status.UNAVAILABLE, Status.INTERRUPTED}
"""What is answered for all runs alike: to ask each by itself would be to no purpose."""
ENDED = {Status.OK, Status.DIVERGED}
"""What training itself ends with."""


Asked = tuple[Planned, dict[int, str]]
"""A combination, and the keys of its runs, by seed."""


class Session:
    """Trains what is due, then measures it; each result is stored as soon as there is one.

    Arguments:
        due: What is to do, by the store.
        place: Where results are kept.
        options: Device, plugins, and how many failures are borne.
        leases: The runs that this process has in hand.
        executor: Where jobs are done.
        reporter: What is told.
        trackers: Who follow it.
        interruption: Whether to stop.
    """

    def __init__(
        self,
        due: Due,
        place: Place,
        options: RunOptions,
        leases: Leases,
        executor: Executor,
        reporter: Reporter,
        trackers: Trackers,
        interruption: Interruption,
    ) -> None:
        self.due, self.place, self.options, self.leases = due, place, options, leases
        self.executor, self.interruption = executor, interruption
        self.reporter, self.trackers = reporter, trackers
        self.trained, self.failures, self.stopped, self.trouble = 0, 0, "", ""
        self._unopened: deque[list[Asked]] = deque()
        self._elsewhere: list[list[Asked]] = []
        self._tasks = Tasks()
        self._running: dict[int, Task] = {}
        self._number, self._looked, self._said = 0, time.monotonic(), False

    def run(self, packs: Iterable[Sequence[Planned]], allowed: float) -> None:
        """Do what is due of these combinations, those that train in one pack together,
        until all is done, here or by others, or it is to stop.

        ``allowed`` is how many failures are borne. Raises `UserError` where results cannot be kept.
        """
        self._unopened.extend([(planned, dict(planned.keys)) for planned in pack] for pack in packs)
        self.executor.listen(lambda number, news: self._tell(self._running[number], news))
        while (not self._stopping(allowed) and self._any_left) or self._running:
            self.interruption.stop_if_urgent()
            self._feed(allowed)
            for ended in self.executor.completed(PAUSE):
                with stage("store"):
                    self._take_in(self._running.pop(ended.number), ended)
            heard = self.executor.progress()
            for number, news in heard.items():
                self._tell(self._running[number], news)
            if heard and len(heard) == len(self._running):  # nobody waits for anything
                get_ready_to_draw()
        if self.trouble:
            raise UserError(f"{self.trouble}; what is finished is kept: the same command goes on")

    @property
    def _any_left(self) -> bool:
        return bool(self._tasks or self._unopened or self._elsewhere)

    def _stopping(self, allowed: float) -> bool:
        """Whether nothing new is to be begun; the first time that one is asked to, tables are written."""
        if self.interruption.asked and not self.stopped:
            self.stopped = "interrupted"
            if running := len(self._running):
                jobs = "1 job is" if running == 1 else f"{running} jobs are"
                self.reporter.say(f"interrupted: {jobs} finished first; once more stops at once")
            self.place.save()
        elif self.failures > allowed and not self.stopped:
            self.stopped = f"stopped after {self.failures} failures (--max-failures)"
            self.reporter.say(self.stopped)
        return bool(self.stopped or self.trouble)

    def _feed(self, allowed: float) -> None:
        """Give the executor as many jobs as it has room for."""
        while self.executor.room > 0 and not self._stopping(allowed) and (self._tasks or self._open()):
            task = self._tasks.take(self._running.values())
            self._number += 1
            self._running[self._number] = task
            if isinstance(task.job, Job):
                self.trackers.begin(task.job)
            work = EVALUATE if isinstance(task.job, Measuring) else TRAIN
            self.executor.submit(self._number, work, task.job, self._limits(task))

    def _limits(self, task: Task) -> Limits:
        """What a task may take: a pack over several combinations the time of all of them."""
        seconds, memory = self.options.limits
        return Limits(None if seconds is None else seconds * len(task.rests), memory)

    def _open(self) -> bool:
        """Take the next combinations in hand of which anything is to do, unless another process has them."""
        self._look_elsewhere()
        while self._unopened and not self._tasks:
            begun = (self._begun(*asked) for asked in self._unopened.popleft())
            self._queue_all([rest for rest in begun if rest])
        return bool(self._tasks)

    def _begun(self, planned: Planned, keys: dict[int, str]) -> Rest | None:
        """What there is to do here of a combination, taken in hand."""
        rest, others = self._lasting(partial(self._taken, planned, keys))
        if others:
            self._elsewhere.append([(planned, others)])
        elif not rest:  # another process has done it meanwhile
            self._report(planned.combination, keys)
        return rest

    def _look_elsewhere(self) -> None:
        """See again to what other processes had in hand, now and then."""
        if not self._elsewhere or time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        if not (self._unopened or self._running or self._said):
            self._said = True
            self.reporter.say("waiting for what other processes on this store have in hand")
        self._unopened.extend(self._elsewhere)
        self._elsewhere = []

    def _taken(self, planned: Planned, keys: dict[int, str]) -> tuple[Rest | None, dict[int, str]]:
        """What there is to do of these runs and nobody else does, and which of them somebody else does."""
        if self.due.rest(planned, keys) is None:
            return None, {}
        mine = self.leases.take(keys.values())
        # by what the store holds now that nobody else can change it
        rest = self.due.rest(planned, {s: k for s, k in keys.items() if k in mine})
        if rest is None or len(rest.keys) < len(mine):
            self.leases.give_back(mine - set(rest.keys.values() if rest else ()))
        return rest, {s: k for s, k in keys.items() if k not in mine}

    def _queue_all(self, rests: Sequence[Rest]) -> None:
        """Queue the training of a pack, and the measurements of what is trained."""
        untrained = tuple(rest for rest in rests if rest.untrained)
        tasks = [
            task
            for rest in rests
            for seed in rest.evaluators
            if seed not in rest.untrained
            for task in self._measurements(rest, rest.run(seed))
        ]
        if untrained:
            runs = [rest.run(seed) for rest in untrained for seed in rest.untrained]
            # of a pack that was cut short one run may be left
            job = replace(self._job(runs), stacked=any(rest.seeds > 1 for rest in untrained))
            tasks.insert(0, Task(untrained, job))
        self._queue(tasks)

    def _queue(self, tasks: Sequence[Task]) -> None:
        """Queue jobs before those of other combinations."""
        for task in tasks:
            for rest in task.rests:
                rest.open += 1
        self._tasks.put(tasks)

    def _measurements(self, rest: Rest, run: Run) -> list[Task]:
        job, facts = self._job([run]), rest.facts.get(run.seed, {})
        return [Task((rest,), Measuring(job, e, facts)) for e in rest.evaluators[run.seed]]

    def _job(self, runs: Iterable[Run]) -> Job:
        options = self.options
        where = (options.device, options.selection, self.place.weights)
        return Job(tuple(runs), *where, options.every, options.keep)

    def _tell(self, task: Task, news: Progress) -> None:
        """Say how far a task has got; a measurement is one of all those of its combination."""
        self._pass_on(task, news)
        rest, *others = task.rests
        if isinstance(task.job, Measuring):
            news = replace(news, done=rest.done, total=rest.total)
        phase = f"{news.phase} with {len(others)} more" if others else news.phase
        self.reporter.progress(str(rest.combination), replace(news, phase=phase))

    def _pass_on(self, task: Task, news: Progress) -> None:
        """Pass on what is not to be lost: what the user is to be told, and the epochs that have ended."""
        if isinstance(task.job, Job):
            self.trackers.go_on(task.job, news)
        for text in news.said:
            self.reporter.say(f"{task.rests[0].combination}: {text}")

    def _take_in(self, task: Task, ended: Ended) -> None:
        """Store what a task gave, or try again, and go on with what follows."""
        outcome = ended.outcome
        self._tasks.end(task)
        for rest in task.rests:
            rest.open -= 1
        self.place.store.expect_there()
        if ended.news:
            self._pass_on(task, ended.news)
        if isinstance(outcome, Crash) and outcome.status == Status.INTERRUPTED:
            self.trouble = outcome.reason
        elif more := self._another_try(task, outcome):
            self._queue(more)
        elif isinstance(task.job, Measuring):
            self._lasting(lambda: self._store_evaluation(task, ended))
        else:
            self._lasting(lambda: self._store_training(task, ended))
        for rest in task.rests:
            if not rest.open and not self.trouble:
                self._lasting(partial(self.leases.give_back, rest.keys.values()))
                self._report(rest.combination, rest.keys)

    def _another_try(self, task: Task, outcome: Any) -> list[Task]:
        """Once more what was ended from outside; and the runs of a pack one by one, where what befell one
        may have ended all.
        """
        crash = outcome if isinstance(outcome, Crash) else None
        if crash is None or crash.status in OWN or self.stopped:
            return []
        if crash.foreign and not task.again:
            return [replace(task, again=True)]
        if isinstance(task.job, Job) and len(task.job.runs) > 1:
            return [Task((task.rest(r),), self._job([r]), again=crash.foreign) for r in task.job.runs]
        return []

    def _store_training(self, task: Task, ended: Ended) -> None:
        assert isinstance(task.job, Job)
        outcome, runs = ended.outcome, {run.key: run for run in task.job.runs}
        if isinstance(outcome, Crash):
            lost = (outcome.status, outcome.reason, outcome.traceback, {"peak_memory_host": ended.memory})
            outcome = [Trained(key, *lost) for key in runs]
        following: list[Task] = []
        for result in outcome:
            run, ok = runs[result.key], result.status == Status.OK
            ending = {"status": result.status, "reason": result.reason, "traceback": result.traceback}
            facts = {**result.facts, **ending, "log": None if ok else ended.log or None}
            made = {"environment": self.place.environment_of(ended), "finished": _now()}
            if not self.place.store.finish(run.key, result.curve, self.leases.owner, **facts, **made):
                continue  # another process has taken it over
            self._count(result.status)
            self.trackers.finish(run, result)
            self.trained += 1
            rest = task.rest(run)
            rest.facts[run.seed] = result.facts
            following += self._measurements(rest, run) if ok else []
            if not ok:
                rest.evaluators.pop(run.seed, None)
        if not isinstance(ended.outcome, Crash):
            self._remove_checkpoints(task.job)
        self._queue(following)

    def _remove_checkpoints(self, job: Job) -> None:
        """Remove what no training goes on from any more."""
        statuses, keys = self.place.store.statuses, [run.key for run in job.runs]
        remove(job.checkpoints, keys, lambda packed: {*statuses(packed).values()} <= ENDED)

    def _store_evaluation(self, task: Task, ended: Ended) -> None:
        (rest,), job, outcome = task.rests, task.job, ended.outcome
        assert isinstance(job, Measuring)
        if isinstance(outcome, Crash):
            lost = (outcome.status, outcome.reason, outcome.traceback)
            outcome = Evaluated(str(job.evaluator), *lost)
        name = {"key": job.run.key, "evaluator": outcome.evaluator}
        ending = {"status": outcome.status, "reason": outcome.reason, "traceback": outcome.traceback}
        log = None if outcome.status == Status.OK else ended.log or None
        rows = [{**name, **row} for row in outcome.measurements]
        facts = {"seconds": outcome.seconds, "per_datum_sha256": outcome.per_datum_sha256}
        row = {**name, **ending, **facts, "log": log}
        if self.place.store.add_evaluation(row, rows, self.leases.owner):
            self._count(outcome.status)
            self.trackers.measure(job.run, outcome)
        rest.done += 1
        progress = Progress(f"evaluate {job.evaluator.name}", rest.done, rest.total)
        self.reporter.progress(str(rest.combination), progress)

    def _count(self, status: str) -> None:
        self.failures += status not in SETTLED and status != Status.UNAVAILABLE

    def _report(self, combination: object, keys: Mapping[int, str]) -> None:
        endings = self._lasting(lambda: self.place.store.endings(keys.values()))
        reasons = [reason for _, reason in endings if reason]
        self.reporter.finish(str(combination), Counter(s for s, _ in endings), reasons[0] if reasons else "")

    def _lasting(self, action: Callable[[], T]) -> T:
        """Do something with the store, waiting while its database is out of reach."""
        end = time.monotonic() + PATIENCE
        said = False
        while True:
            try:
                return action()
            except OutOfReach as error:
                if time.monotonic() > end or self.interruption.asked:
                    raise
                if not said:
                    self.reporter.say(f"{error}; waiting for it")
                    said = True
                time.sleep(LOOK)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
