"""What it costs to have a job done: by this process, by worker processes, and by workers of a Ray cluster.

``python benchmarks/executors.py`` has each executor do jobs that do nothing, 100,000 by default, and writes a
record of each, as a run does. It prints milliseconds per job for the executor and for the store, how much
memory this process has gained, and how large the store is. ``--only`` chooses executors, ``--jobs`` how
many jobs, ``--workers`` how many workers. ``--runs 300`` says instead what the runs of a suite cost this
process, each one training and one measurement that do nothing, with all that is kept about them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import Mock, patch

from lvmbench.execution import runner, session
from lvmbench.execution.executor import NOTHING, Executor, Limits, Tell
from lvmbench.execution.executors import executor_of
from lvmbench.execution.jobs import Evaluated, Job, Measuring, Trained
from lvmbench.execution.options import RunOptions
from lvmbench.registry.loader import load_catalogue
from lvmbench.results.database import NAME
from lvmbench.results.store import Store
from lvmbench.status import Status
from lvmbench.suites.plan import make_plan
from lvmbench.suites.suite import load_suite

MIB, HERE = 2**20, Path(__file__).stem
SUITE = """
suite: trivial
datasets: ["blobs[train=60,validation=20,test=20]"]
priors: [mixture: {components: RUNS}]
posteriors: ["gaussian[hidden=8,layers=1]"]
decoders: [linear_gaussian]
objectives: [elbo]
latent: 2
budget: {epochs: 1}
seeds: [0]
evaluators: [tightness]
"""
HEAD = (
    "executor",
    "jobs",
    "s until the first",
    "ms per job",
    "ms of the runner's processor",
    "ms in the store",
    "memory of the runner, MiB",
    "MiB gained",
    "store per job, bytes",
)
EXECUTORS: dict[str, Callable[[int], RunOptions]] = {
    "here": lambda workers: RunOptions(jobs=0),
    "local": lambda workers: RunOptions("cpu", workers),
    "ray": lambda workers: RunOptions("cpu", workers, executor="ray"),
}


class Figures(NamedTuple):
    """What jobs have cost: seconds until the first was done, of all the others by the clock and of this
    process's processor, of these in the store; bytes of this process, what they have grown by, and the store.
    """

    start: float
    seconds: float
    busy: float
    storing: float
    memory: int
    gained: int
    stored: int


def measured(executor: AbstractContextManager[Executor], jobs: int, folder: Path) -> Figures:
    """Have jobs done, and a record of each written."""
    with Store.at(folder, None) as store, executor as open_executor:
        store.add_runs([_row(number) for number in range(jobs)])
        began = time.perf_counter()
        next(_done(open_executor, 1))
        warm, busy, memory, storing = time.perf_counter(), time.process_time(), _memory(), 0.0
        for number in _done(open_executor, jobs):
            start = time.perf_counter()
            store.finish(str(number), [(1, -1.0, -1.0)], status="ok", reason="")
            storing += time.perf_counter() - start
        taken, busy, now = time.perf_counter() - warm, time.process_time() - busy, _memory()
    stored = (folder / "store.sqlite").stat().st_size
    return Figures(warm - began, taken, busy, storing, now, now - memory, stored)


def trained(job: Job, tell: Tell) -> list[Trained]:
    """Train a pack, for nothing."""
    curve = tuple((epoch, -1.0, -1.0) for epoch in range(20))
    return [Trained(run.key, Status.OK, facts={"best_epoch": 2}, curve=curve) for run in job.runs]


def evaluated(work: Measuring, tell: Tell) -> Evaluated:
    """Measure a run, for nothing."""
    about = {"variant": "", "method": "", "stderr": 0.1, "split": "test", "unit": "nats", "better": "higher"}
    figures = tuple({"metric": f"figure_{number}", "value": 1.0, **about} for number in range(6))
    return Evaluated(str(work.evaluator), Status.OK, seconds=0.1, measurements=figures)


def per_run(options: RunOptions, runs: int, folder: Path) -> float:
    """Milliseconds of this process's processor for each run of a suite, apart from tables and pictures."""
    suite = folder / "given.yaml"
    suite.write_text(SUITE.replace("RUNS", str(list(range(2, runs + 2)))))
    catalogue = load_catalogue()
    plan = make_plan(load_suite(str(suite), catalogue), catalogue)
    work = patch.multiple(session, TRAIN=f"{HERE}:trained", EVALUATE=f"{HERE}:evaluated")
    with work, patch.object(runner, "export"), Store.at(folder, None) as store:
        start = time.process_time()
        summary = runner.run(plan, folder, store, options, Mock())
        spent = time.process_time() - start
    assert summary.counts == summary.evaluations == {"ok": runs}, summary
    return 1e3 * spent / runs


def _done(executor: Executor, jobs: int) -> Iterator[int]:
    """The numbers of jobs that do nothing, as each is done."""
    begun = ended = 0
    while ended < jobs:
        while begun < jobs and executor.room > 0:
            executor.submit(begun, NOTHING, None, Limits())
            begun += 1
        for one in executor.completed(1.0):
            ended += 1
            yield one.number


def _row(number: int) -> dict[str, object]:
    """A run that is planned."""
    about = {"key": str(number), "position": number, "suite": "jobs", "suite_version": 1}
    return {**dict.fromkeys(NAME, number), **about, "status": "interrupted", "reason": ""}


def _memory() -> int:
    """Resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=EXECUTORS, action="append")
    parser.add_argument("--runs", type=int)
    given = parser.parse_args()
    if given.runs:
        for name in given.only or EXECUTORS:
            with tempfile.TemporaryDirectory() as folder:
                options = replace(EXECUTORS[name](given.workers), baselines=False)
                print(f"{name}: {per_run(options, given.runs, Path(folder)):.1f} ms a run", flush=True)
        return
    print("|", " | ".join(HEAD), "|")
    print("|", " | ".join("---" for _ in HEAD), "|")
    for name in given.only or EXECUTORS:
        with tempfile.TemporaryDirectory() as folder:
            f = measured(executor_of(EXECUTORS[name](given.workers)), given.jobs, Path(folder))
        each = [1e3 * seconds / given.jobs for seconds in (f.seconds, f.busy, f.storing)]
        memory = (f.memory / MIB, f.gained / MIB)
        cells = [
            f"{given.jobs:,}",
            f"{f.start:.1f}",
            *(f"{x:.2f}" for x in each),
            *(f"{x:.0f}" for x in memory),
        ]
        print("|", " | ".join([name, *cells, f"{f.stored / given.jobs:.0f}"]), "|", flush=True)


if __name__ == "__main__":
    main()
