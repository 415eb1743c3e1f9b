"""Where the time of a run of a suite goes: the stages of each job, by the workers that do it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from lvmbench.execution.executor import Ended, Executor, Limits, Resources, Tell, Work, do
from lvmbench.execution.jobs import Job, Measuring
from lvmbench.execution.progress import Progress
from lvmbench.results.sections import Section
from lvmbench.stages import Clock, Spent, clocked

FILE = "profile.csv"
STAGES = (
    *("import", "load", "build", "batch", "noise", "forward", "backward", "optimiser", "step"),
    *("validation", "evaluation", "store", "other", "idle"),
)
"""The stages in the order of tables."""
COLUMNS = ["work", "combination", "runs", "evaluator", "stage", "seconds", "times"]

_before: list[Mapping[str, Spent]] = []
"""What this process spent on making ready for its first job."""


@dataclass(frozen=True)
class Timed:
    """The outcome of a job, and what each of its stages took."""

    outcome: Any
    spent: Mapping[str, Spent]


def make_ready(job: tuple[Work, Any], tell: Tell) -> None:
    """Do what comes before the first job of a process, which its profile counts in."""
    _before.append(_watched(*job, tell).spent)


def timed(job: tuple[Work, Any], tell: Tell) -> Timed:
    """Do a job with a clock."""
    done = _watched(*job, tell)
    while _before:
        done = replace(done, spent=_summed(done.spent, _before.pop()))
    return done


def _watched(work: Work, job: Any, tell: Tell) -> Timed:
    with clocked() as clock:
        clock.begin("other")
        outcome = do(work, job, tell)
        clock.end()
    return Timed(outcome, dict(clock.spent))


def _summed(*parts: Mapping[str, Spent]) -> dict[str, Spent]:
    total: dict[str, Spent] = defaultdict(Spent)
    for part in parts:
        for name, spent in part.items():
            total[name] = Spent(total[name].seconds + spent.seconds, total[name].times + spent.times)
    return dict(total)


class Profiled:
    """An executor whose jobs are timed; leaving a ``with`` writes the profile, and ends no job.

    Arguments:
        executor: Where the jobs are done, which is whose it was before.
        folder: The results folder.
    """

    elsewhere = False

    def __init__(self, executor: Executor, folder: Path) -> None:
        self._executor, self._folder, self._jobs = executor, folder, dict[int, Any]()
        self._rows: list[tuple[Any, ...]] = []
        self._stack, self._clock, self._begun = ExitStack(), Clock(), 0.0

    def __enter__(self) -> Self:
        self._clock, self._begun = self._stack.enter_context(clocked()), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()
        self._finish(time.perf_counter() - self._begun)

    @property
    def resources(self) -> Resources:
        """What it does jobs with."""
        return self._executor.resources

    @property
    def room(self) -> int:
        """How many more jobs it would begin at once."""
        return self._executor.room

    def prepare(self, work: Work, job: Any) -> None:
        """Have this done wherever jobs are begun from now on."""
        self._executor.prepare(f"{__name__}:make_ready", (work, job))

    def submit(self, number: int, work: Work, job: Any, limits: Limits) -> None:
        """Begin a job."""
        self._jobs[number] = job
        self._executor.submit(number, f"{__name__}:timed", (work, job), limits)

    def completed(self, seconds: float) -> list[Ended]:
        """The jobs that end."""
        return [self._taken(ended) for ended in self._executor.completed(seconds)]

    def progress(self) -> Mapping[int, Progress]:
        """What is new of the jobs that run."""
        return self._executor.progress()

    def listen(self, hear: Callable[[int, Progress], None]) -> None:
        """Have news told as they come."""
        self._executor.listen(hear)

    def cancel(self) -> None:
        """End every job that runs."""
        self._executor.cancel()

    def _taken(self, ended: Ended) -> Ended:
        """What became of a job; what it took is noted, unless it crashed."""
        job = self._jobs.pop(ended.number)
        if not isinstance(ended.outcome, Timed):
            return ended
        self._note(_described(job), ended.outcome.spent)
        return replace(ended, outcome=ended.outcome.outcome)

    def _note(self, described: tuple[str, ...], spent: Mapping[str, Spent]) -> None:
        self._rows += [(*described, name, round(s.seconds, 6), s.times) for name, s in spent.items()]

    def _finish(self, seconds: float) -> None:
        """Add what this process spent on storing, and how long workers had nothing to do; write it all."""
        worked = sum(row[5] for row in self._rows)
        self._note(("runner", "", "", ""), self._clock.spent)
        idle = max(0.0, self.resources.workers * seconds - worked)
        self._note(("workers", "", "", ""), {"idle": Spent(idle, self.resources.workers)})
        pd.DataFrame(self._rows, columns=COLUMNS).to_csv(self._folder / FILE, index=False)


def _described(job: Any) -> tuple[str, str, str, str]:
    """The work, the combination, how many runs, and the evaluator of a job."""
    match job:
        case Job(runs=runs):
            return "train", str(runs[0].combination), str(len(runs)), ""
        case Measuring(run=run, evaluator=evaluator):
            return "evaluate", str(run.combination), "1", str(evaluator)
    return "baseline", "", "", ""


def profile_section(folder: Path) -> Section:
    """The profile in a results folder, all its jobs together, as a table."""
    found = pd.read_csv(folder / FILE).groupby("stage")[["seconds", "times"]].sum()
    found = found.reindex([name for name in STAGES if name in found.index])
    seconds, times = found["seconds"], found["times"]
    columns = {
        "stage": list(found.index),
        "seconds": [f"{s:.2f}" for s in seconds],
        "share": [f"{share:.1%}" for share in seconds / seconds.sum()],
        "times": [f"{n:.0f}" for n in times],
        "ms each": [f"{each:.3g}" for each in 1e3 * seconds / times],
    }
    note = f"wall time of all processes, without that of stages within a stage; by job in {FILE}"
    return Section("where the time went", columns, [*columns][1:], notes=[note])
