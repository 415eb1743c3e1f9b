"""Jobs that are done while whoever has begun them does something else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from lvmbench.execution.executor import Executor, Limits, Work
from lvmbench.execution.progress import PAUSE


class Meanwhile:
    """Jobs that an executor does, of which it begins at once as many as it has room for.

    Arguments:
        executor: The executor, which does nothing else until they have ended.
        jobs: What is done, and with what.
        seconds: How long each may take, where it can be ended.
    """

    def __init__(self, executor: Executor, jobs: Iterable[tuple[Work, Any]], seconds: float) -> None:
        self._executor, self._limits = executor, Limits(seconds)
        self._waiting, self._ended = deque(enumerate(jobs)), dict[int, Any]()
        self._count = len(self._waiting)
        self._begin()

    def outcomes(self) -> list[Any]:
        """What each has given, in their order; a `Crash` where it has ended in another way."""
        while len(self._ended) < self._count:
            for ended in self._executor.completed(PAUSE):
                self._ended[ended.number] = ended.outcome
            self._begin()
        return [self._ended[number] for number in range(self._count)]

    def _begin(self) -> None:
        while self._waiting and self._executor.room > 0:
            number, (work, job) = self._waiting.popleft()
            self._executor.submit(number, work, job, self._limits)
