"""Asking foreign code something where jobs are done: what ends its process is left out of the next try."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lvmbench.errors import LvmbenchError, UserError
from lvmbench.execution.executor import Crash, Executor, Limits, Tell, Work
from lvmbench.execution.progress import PAUSE, Progress
from lvmbench.registry.sandbox import time_limit
from lvmbench.registry.watch import PLUGIN, Ending, watched
from lvmbench.status import Status

LIMIT = 300.0
"""Seconds that one step may take where no other limit is given."""
ENDED = {Status.TIMEOUT, Status.KILLED, Status.OOM}
Question = tuple[Any, Mapping[str, Ending]]
"""What is asked, and what has ended its process when it was asked before."""


@dataclass(frozen=True)
class Mistake:
    """What the user did wrong, in place of an answer."""

    text: str


def ask(executor: Executor, work: Work, question: Any, failing: str, limit: float | None = None) -> Any:
    """What some work, done by `answered` where an executor does jobs, says to a question.

    ``limit`` is how many seconds it may be in one piece of foreign code. Raises `UserError` where there is no
    answer, which begins with what is then ``failing``.
    """
    fatal: dict[str, Ending] = {}
    while True:
        outcome, step = attempt(executor, work, (question, fatal), limit)
        if isinstance(outcome, Mistake):
            raise UserError(outcome.text)
        if not isinstance(outcome, Crash):
            return outcome
        if outcome.status not in ENDED or not step or step in fatal:
            raise UserError(": ".join(filter(None, (failing, step, outcome.reason))))
        fatal[step] = Ending(outcome.status, outcome.reason)


def attempt(executor: Executor, work: Work, job: Any, limit: float | None = None) -> tuple[Any, str]:
    """What a job gives, and what it was at when it ended or was ended."""
    executor.submit(0, work, job, Limits())
    step, since = "", time.monotonic()
    while True:
        ended = executor.completed(PAUSE)
        told = [*executor.progress().values(), *(e.news for e in ended if e.news)]
        for news in told:
            if news.phase != step:
                step, since = news.phase, time.monotonic()
        if ended:
            return ended[0].outcome, step
        allowed = _allowed(step, limit)
        if time.monotonic() - since > allowed:
            executor.cancel()
            return Crash(Status.TIMEOUT, f"took longer than {allowed:g} s"), step


def _allowed(step: str, limit: float | None) -> float:
    """The seconds of a step; where a plugin is loaded, the alarm that it may hear comes first."""
    if step.startswith(PLUGIN):
        return 2 * time_limit() or math.inf
    return limit if limit and step else LIMIT  # to start a process takes time, too


def answered(question: Question, tell: Tell, answer: Callable[[Any], Any]) -> Any:
    """Answer where a job is done: what foreign code is entered is told, and what is fatal is not."""
    asked, fatal = question
    try:
        with watched(telling(tell), fatal):
            return answer(asked)
    except LvmbenchError as error:
        return Mistake(str(error) or type(error).__name__)


def telling(tell: Tell) -> Callable[[str], None]:
    """Tell of steps, by what they are called."""
    return lambda step: tell(Progress(step, 1, 1))
