"""Fitting the baselines of a plan's data sets, each once, and keeping them beside the results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvmbench.baselines.baseline import Baseline
from lvmbench.baselines.fitting import PUBLISHED, applicable, measured, published
from lvmbench.dataset import Data
from lvmbench.errors import Refusal, Unavailable
from lvmbench.execution.local import Crash, LocalExecutor, cores
from lvmbench.execution.options import RunOptions
from lvmbench.execution.progress import ProgressFile
from lvmbench.execution.worker import reason_of, world
from lvmbench.registry.loader import PluginSelection
from lvmbench.registry.names import Ref
from lvmbench.results.baselines import NAMED, baselines_in, with_rows
from lvmbench.results.tables import BASELINES, write
from lvmbench.status import Status, answered
from lvmbench.suites.plan import Plan


@dataclass(frozen=True)
class Fitting:
    """A baseline to fit to a data set, by its place among those that apply to it."""

    dataset: Ref
    place: int
    selection: PluginSelection


def fit_job(job: Fitting, progress: ProgressFile) -> dict[str, Any]:
    """Fit a baseline, and say what it gives; what goes wrong becomes a status."""
    start = time.perf_counter()
    try:
        data: Data = world(job.selection)[1][job.dataset]
        found = measured(applicable(data)[job.place], data)
    except (Refusal, Unavailable) as error:
        return {"status": answered(error), "reason": str(error)}
    except (Exception, SystemExit) as error:
        return {"status": Status.FAILED, "reason": reason_of(error)}
    return {**found, "status": Status.OK, "seconds": round(time.perf_counter() - start, 3)}


def fit_baselines(plan: Plan, out: Path, options: RunOptions) -> None:
    """Fit what is not yet fitted to a plan's data, and note what is published of them."""
    if not options.baselines:
        return
    due = list(_due(plan, out))
    rows = [{**_named(name, data), **row} for name, data in plan.data.items() for row in _published(data)]
    _keep(out, rows)
    workers = cores() if options.jobs is None else options.jobs
    with LocalExecutor[Any](min(workers, len(due)), options.timeout) as executor:
        for number, (dataset, place, _) in enumerate(due):
            executor.submit(number, fit_job, Fitting(Ref.parse(dataset), place, options.selection))
        for number, outcome in executor.completed(lambda number, news: None):
            _keep(out, [{**due[number][2], **_row(outcome)}])


def _due(plan: Plan, out: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Data set, place and name of each baseline that is not there."""
    there = {tuple(map(str, row)) for row in baselines_in(out)[NAMED].itertuples(index=False)}
    for dataset, data in plan.data.items():
        for place, baseline in enumerate(applicable(data)):
            words = {**_named(dataset, data), **_called(baseline)}
            if tuple(str(words[name]) for name in NAMED) not in there:
                yield dataset, place, words


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
        write(out / BASELINES, with_rows(baselines_in(out), rows).to_csv(index=False, lineterminator="\n"))
