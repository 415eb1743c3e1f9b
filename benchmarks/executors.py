"""What it costs to have a job done: by this process, by worker processes, and by workers of a Ray cluster.

``python benchmarks/executors.py`` has each executor do jobs that do nothing, 100,000 by default, and writes a
record of each, as a run does. It prints milliseconds per job for the executor and for the store, how much
memory this process has gained, and how much the store has grown. ``--only`` chooses executors, ``--jobs`` how
many jobs, ``--workers`` how many workers.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from lvmbench.execution.executor import NOTHING, Executor, Limits
from lvmbench.execution.executors import executor_of
from lvmbench.execution.options import RunOptions
from lvmbench.results.store import Store

MIB = 2**20
EXECUTORS: dict[str, Callable[[int], RunOptions]] = {
    "here": lambda workers: RunOptions(jobs=0),
    "local": lambda workers: RunOptions("cpu", workers),
    "ray": lambda workers: RunOptions("cpu", workers, executor="ray"),
}


class Figures(NamedTuple):
    """What jobs have cost: seconds until the first was done, seconds of all, of these in the store, memory."""

    start: float
    seconds: float
    storing: float
    gained: int
    peak: int
    growth: int


def measured(executor: AbstractContextManager[Executor], jobs: int, folder: Path) -> Figures:
    """Have jobs done, and a record of each written."""
    file = folder / "store.sqlite"
    with Store.at(folder, None) as store, executor as open_executor:
        store.add_runs([_row(number) for number in range(jobs)])
        before = file.stat().st_size
        began = time.perf_counter()
        next(_done(open_executor, 1))
        warm, memory, storing = time.perf_counter(), _memory(), 0.0
        for number in _done(open_executor, jobs):
            start = time.perf_counter()
            store.finish(str(number), [(1, -1.0, -1.0)], status="ok", reason="")
            storing += time.perf_counter() - start
        taken, now = time.perf_counter() - warm, _memory()
        return Figures(warm - began, taken, storing, now - memory, now, file.stat().st_size - before)


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
    words = ("dataset", "prior", "posterior", "decoder", "objective", "estimator")
    named = {word: f"{word}_{number}" for word in words}
    return {
        "key": str(number),
        "position": number,
        "suite": "jobs",
        "suite_version": 1,
        **named,
        "latent": "2",
    } | {
        "seed": 0,
        "status": "interrupted",
        "reason": "",
    }


def _memory() -> int:
    """Resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=EXECUTORS, action="append")
    given = parser.parse_args()
    print(
        "| executor | jobs | first after, s | ms per job | of these in the store | memory, MiB | gained | store per job, B |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in given.only or EXECUTORS:
        with tempfile.TemporaryDirectory() as folder:
            f = measured(executor_of(EXECUTORS[name](given.workers)), given.jobs, Path(folder))
        each = (1e3 * f.seconds / given.jobs, 1e3 * f.storing / given.jobs)
        memory = (f.peak / MIB, f.gained / MIB)
        cells = [
            f"{given.jobs:,}",
            f"{f.start:.1f}",
            *(f"{x:.2f}" for x in each),
            *(f"{x:.0f}" for x in memory),
        ]
        print("|", " | ".join([name, *cells, f"{f.growth / given.jobs:.0f}"]), "|", flush=True)


if __name__ == "__main__":
    main()
