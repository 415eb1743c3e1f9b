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
from lvmbench.results.database import NAME
from lvmbench.results.store import Store

MIB = 2**20
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
    given = parser.parse_args()
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
