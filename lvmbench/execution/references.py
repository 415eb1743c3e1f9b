"""Fitting the baselines of a plan's data sets, each once, and keeping them beside the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lvmbench.execution.executor import Crash, Executor
from lvmbench.execution.interruption import Interruption
from lvmbench.execution.jobs import Baselines, Fitting
from lvmbench.execution.options import RunOptions
from lvmbench.execution.progress import Progress
from lvmbench.execution.reporter import Reporter
from lvmbench.execution.session import LOOK
from lvmbench.results.baselines import NAMED, baselines_in, keep_baselines, with_rows

FIT = "lvmbench.execution.fitting:fit_job"


def due_baselines(baselines: Baselines, out: Path) -> list[Fitting]:
    """What is not yet fitted; what is published is noted."""
    _keep(out, [*baselines.published])
    there = {tuple(map(str, row)) for row in baselines_in(out)[NAMED].itertuples(index=False)}
    return [fit for fit in baselines.fits if tuple(str(fit.words[name]) for name in NAMED) not in there]


def fit_baselines(
    fits: Iterable[Fitting],
    out: Path,
    executor: Executor,
    options: RunOptions,
    reporter: Reporter,
    interruption: Interruption,
) -> None:
    """Fit baselines, and keep each as soon as it is; nothing new is begun once that is to stop."""
    waiting, done = deque(enumerate(fits)), 0
    total, running = len(waiting), dict[int, Fitting]()
    while running or (waiting and not interruption.asked):
        interruption.stop_if_urgent()
        while waiting and executor.room > 0 and not interruption.asked:
            number, fit = waiting.popleft()
            running[number] = fit
            executor.submit(number, FIT, fit, options.limits)
        for ended in executor.completed(LOOK):
            _keep(out, [{**running.pop(ended.number).words, **_row(ended.outcome)}])
            done += 1
        reporter.progress("baselines", Progress("fit", done, total))


def _row(outcome: Mapping[str, Any] | Crash) -> Mapping[str, Any]:
    if isinstance(outcome, Crash):
        return {"status": outcome.status, "reason": outcome.reason}
    return outcome


def _keep(out: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to the table of a results directory."""
    if rows:
        keep_baselines(out, with_rows(baselines_in(out), rows))
