"""A worker on another machine: a process that can be killed there, and what is sent to it and back."""

from __future__ import annotations

import os
import platform
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from lvmbench.data.whole import write_whole
from lvmbench.execution.executor import NOTHING, Ended, Limits, Work
from lvmbench.execution.gpus import VISIBLE
from lvmbench.execution.local import LocalExecutor
from lvmbench.execution.progress import Progress

HEAR = 1.0
"""Seconds between two looks at whether the worker process is ready."""


class Arrived(NamedTuple):
    """A worker that is ready: where, what was prepared there, and whether it sees the results folder."""

    node: str
    machine: str
    prepared: Any
    shares: bool


class Heard(NamedTuple):
    """What is new of a job: how it has ended, or how far it has got; and the files that it has left."""

    ended: Ended | None
    news: Progress | None = None
    files: Mapping[str, bytes] = {}


class Host:
    """Does one job after another in a worker process of this machine.

    A job that keeps files has them in the results folder where that is shared, and else in one of its own,
    from which they are sent back.

    Arguments:
        gpus: Whether it is to see the GPUs that it was given, or none.
    """

    def __init__(self, *, gpus: bool) -> None:
        if not gpus:
            os.environ[VISIBLE] = ""
        self._executor = LocalExecutor(1)
        self._folder: TemporaryDirectory[str] | None = None
        self._sent: Mapping[str, bytes] = {}

    def arrive(self, work: Work, job: Any, token: Path | None) -> Arrived:
        """Get ready for jobs; a file ``token`` shows whether a folder is shared."""
        self._executor.prepare(work, job)
        self._executor.submit(0, NOTHING, None, Limits())
        ended = None
        while ended is None:
            ended = next(iter(self._executor.completed(HEAR)), None)
        shares = token is not None and token.is_file()
        return Arrived(_node(), platform.node(), ended.prepared, shares)

    def begin(
        self,
        number: int,
        work: Work,
        job: Any,
        limits: Limits,
        files: Mapping[str, bytes] | None,
        seconds: float,
    ) -> Heard:
        """Begin a job; with the files that it reads, unless these are in a shared folder.

        What is new of it, within some seconds.
        """
        if files is not None:
            self._folder = TemporaryDirectory(prefix="lvmbench-", ignore_cleanup_errors=True)
            self._sent = files
            put(files, Path(self._folder.name))
            job = job.at(Path(self._folder.name))
        self._executor.submit(number, work, job, limits)
        return self.hear(seconds)

    def hear(self, seconds: float) -> Heard:
        """What is new of the job, within some seconds."""
        ended = next(iter(self._executor.completed(seconds)), None)
        news = next(iter(self._executor.progress().values()), None)
        return Heard(ended, news, self._left() if ended else {})

    def _left(self) -> dict[str, bytes]:
        """The files that a job has left in a folder of its own."""
        if self._folder is None:
            return {}
        with self._folder as name:
            self._folder = None
            root = Path(name)
            return taken(root.rglob("*"), root, apart=self._sent)


def _node() -> str:
    """The node of the Ray cluster that this is."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def taken(files: Iterable[Path], root: Path, apart: Container[str] = ()) -> dict[str, bytes]:
    """The files that are there, but for some, by their places below a folder."""
    places = {file.relative_to(root).as_posix(): file for file in files if file.is_file()}
    return {place: file.read_bytes() for place, file in places.items() if place not in apart}


def put(files: Mapping[str, bytes], root: Path) -> None:
    """Write files to their places below a folder, each whole or not at all."""
    for place, content in files.items():
        write_whole(root / place, content)
