"""Fitting the baselines of a plan's data sets, each once, and keeping them beside the results."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lvmbench.baselines.baseline import Baseline
from lvmbench.baselines.fitting import PUBLISHED, applicable, measured, published
from lvmbench.dataset import Data
from lvmbench.execution.executor import Crash, Executor, Tell
from lvmbench.execution.interruption import Interruption
from lvmbench.execution.options import RunOptions
from lvmbench.execution.progress import Progress
from lvmbench.execution.session import LOOK, Reporter
from lvmbench.execution.worker import world
from lvmbench.registry.loader import PluginSelection
from lvmbench.registry.names import Ref
from lvmbench.results.baselines import NAMED, baselines_in, keep_baselines, with_rows
from lvmbench.status import Status

FIT = "lvmbench.execution.references:fit_job"


@dataclass(frozen=True)
class Fitting:
    """A baseline to fit to a data set, by its place among those that apply to it.

    Arguments:
        dataset: The data set.
        place: The place.
        words: What the row of the baseline is called.
        selection: Plugins.
    """

    dataset: Ref
    place: int
    words: Mapping[str, Any]
    selection: PluginSelection


def fit_job(job: Fitting, tell: Tell) -> dict[str, Any]:
    """Fit a baseline, and say what it gives; what goes wrong is raised."""
    start = time.perf_counter()
    data: Data = world(job.selection)[1][job.dataset]
    found = measured(applicable(data)[job.place], data)
    return {**found, "status": Status.OK, "seconds": round(time.perf_counter() - start, 3)}


class Baselines(NamedTuple):
    """What data sets are held against: what is to be fitted to them, and what is published of them."""

    fits: Sequence[Fitting] = ()
    published: Sequence[dict[str, Any]] = ()


def baselines_of(data: Mapping[str, Data], options: RunOptions) -> Baselines:
    """What data sets are held against, if they are to be."""
    if not options.baselines:
        return Baselines()
    fits = [fit for name, one in data.items() for fit in _of(name, one, options.selection)]
    return Baselines(fits, [{**_named(n, one), **row} for n, one in data.items() for row in _published(one)])


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


def _of(dataset: str, data: Data, selection: PluginSelection) -> Iterator[Fitting]:
    for place, baseline in enumerate(applicable(data)):
        words = {**_named(dataset, data), **_called(baseline)}
        yield Fitting(Ref.parse(dataset), place, words, selection)


def _named(dataset: str, data: Data) -> dict[str, Any]:
    return {"dataset": dataset, "sha256": data.checksum}


def _called(baseline: Baseline) -> dict[str, Any]:
    return {"baseline": baseline.name, "version": baseline.version, "measure": baseline.measure}


def _published(data: Data) -> Iterator[dict[str, Any]]:
    return ({"baseline": PUBLISHED, "status": Status.OK, **row} for row in published(data))


def _row(outcome: Mapping[str, Any] | Crash) -> Mapping[str, Any]:
    if isinstance(outcome, Crash):
        return {"status": outcome.status, "reason": outcome.reason}
    return outcome


def _keep(out: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to the table of a results directory."""
    if rows:
        keep_baselines(out, with_rows(baselines_in(out), rows))
