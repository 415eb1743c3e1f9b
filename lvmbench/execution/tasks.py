"""Jobs that wait to be begun, and which of them is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lvmbench.execution.due import Rest
from lvmbench.execution.jobs import Job, Measuring, Run


@dataclass(frozen=True)
class Task:
    """A job, and the combinations that it is a part of doing; ``again`` where it is not the first try."""

    rests: tuple[Rest, ...]
    job: Job | Measuring
    again: bool = False

    @property
    def measures(self) -> str:
        """The key of the run that it measures; empty where it trains."""
        return self.job.run.key if isinstance(self.job, Measuring) else ""

    def rest(self, run: Run) -> Rest:
        """What is left to do of the combination of one of its runs."""
        return next(rest for rest in self.rests if rest.keys.get(run.seed) == run.key)


class Tasks:
    """The tasks that wait, in order.

    A worker that has measured a run goes on with it, as far as that can be had: what it has found of the
    run's data others would have to find again.
    """

    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()
        self._measured = ""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, tasks: Sequence[Task]) -> None:
        """Have tasks wait before all others."""
        self._waiting.extendleft(reversed(tasks))

    def end(self, task: Task) -> None:
        """Note that a task has ended, and with it that its worker is free."""
        self._measured = task.measures

    def take(self, running: Iterable[Task]) -> Task:
        """The next task: of the run that was measured last, or else the first that is not of one whose
        measurement is running, or else the first.
        """
        busy = {task.measures for task in running if task.measures}

        def rank(place: int) -> int:
            run = self._waiting[place].measures
            return 0 if run and run == self._measured else 1 + (run in busy)

        place = min(range(len(self._waiting)), key=rank)
        task = self._waiting[place]
        del self._waiting[place]
        return task
