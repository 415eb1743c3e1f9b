"""Where jobs are done: which baselines are to be fitted to data sets, and fitting one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from lvmbench.baselines.baseline import Baseline
from lvmbench.baselines.fitting import PUBLISHED, applicable, measured, published
from lvmbench.dataset import Data
from lvmbench.execution.executor import Tell
from lvmbench.execution.jobs import Baselines, Fitting
from lvmbench.execution.options import RunOptions
from lvmbench.execution.worker import world
from lvmbench.registry.loader import PluginSelection
from lvmbench.registry.names import Ref
from lvmbench.status import Status


def baselines_of(data: Mapping[str, Data], options: RunOptions) -> Baselines:
    """What data sets are held against, if they are to be."""
    if not options.baselines:
        return Baselines()
    fits = [fit for name, one in data.items() for fit in _of(name, one, options.selection)]
    return Baselines(fits, [{**_named(n, one), **row} for n, one in data.items() for row in _published(one)])


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


def fit_job(job: Fitting, tell: Tell) -> dict[str, Any]:
    """Fit a baseline, and say what it gives; what goes wrong is raised."""
    start = time.perf_counter()
    data: Data = world(job.selection)[1][job.dataset]
    found = measured(applicable(data)[job.place], data)
    return {**found, "status": Status.OK, "seconds": round(time.perf_counter() - start, 3)}
