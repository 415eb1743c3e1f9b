"""Suites from Python."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lvmbench.api.notebook import Notebook, in_notebook
from lvmbench.api.prepared import Prepared
from lvmbench.api.results import Results
from lvmbench.errors import UserError
from lvmbench.execution.options import RunOptions
from lvmbench.execution.reporter import Reporter
from lvmbench.registry.loader import PluginSelection


def run(
    suite: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    seeds: int | Sequence[int] | None = None,
    only: Sequence[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    jobs_per_gpu: int | None = None,
    executor: str = "local",
    address: str | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    max_failures: int | str | None = None,
    store: str | None = None,
    plugins: Sequence[str | Path] = (),
    trackers: Sequence[str] = (),
    baselines: bool = True,
    apart: bool = False,
    profile: bool = False,
    checkpoint: float | None = None,
    keep_checkpoints: bool = False,
    progress: bool = True,
) -> Results:
    """Train and measure every combination of a suite; what is finished is not repeated.

    The first Ctrl-C begins nothing new and waits for what runs, the second stops at once; both keep what is
    finished, and raise `KeyboardInterrupt`.

    Arguments:
        suite: A registered name, the path of a YAML file, or what such a file holds, as a mapping.
        out: The results directory; by default ``lvmbench-results/SUITE``.
        seeds: How many seeds, or which, instead of the suite's.
        only: Only combinations with a part of one of these names; ``*`` and ``?`` are wildcards.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        jobs: Worker processes; 0 runs in this process, and by default there is one per core.
        jobs_per_gpu: Worker processes per GPU; by default they are spread over all there are.
        executor: ``local``, or ``ray`` for the machines of a cluster.
        address: Where Ray's cluster is, as ``HOST:PORT`` or ``auto``; by default it is started here.
        timeout: Seconds after which a job is ended.
        memory: GiB of memory of a worker process at which its job is ended.
        max_failures: After how many failed runs nothing new is begun; or after what part, as ``"5%"``.
        store: The URL of a database, instead of a file in the results directory.
        plugins: Local plugins, as files or modules.
        trackers: Who follow it, by name with options, as ``tensorboard``.
        baselines: Whether to fit models of the data that rows are held against.
        apart: Whether each combination trains by itself, for training times that compare.
        profile: Whether to write to ``profile.csv`` where the time goes.
        checkpoint: Seconds after which a training is saved, again and again, to go on from there if it is cut
            short; 0: never, and by default 300.
        keep_checkpoints: Whether to keep where each training ended, for more epochs or patience.
        progress: Whether to show how far it has got.

    Raises `UserError` where the suite or an argument cannot be used. What fails is in ``records`` with its
    reason.
    """
    failures = None if max_failures is None else str(max_failures)
    selection = PluginSelection.of(plugins)
    options = RunOptions(
        device=device,
        jobs=jobs,
        timeout=timeout,
        selection=selection,
        memory=memory,
        max_failures=failures,
        trackers=tuple(trackers),
        jobs_per_gpu=jobs_per_gpu,
        executor=executor,
        address=address,
        baselines=baselines,
        apart=apart,
        profile=profile,
        checkpoint=checkpoint,
        keep=keep_checkpoints,
    )
    with _file(suite) as path:
        prepared = Prepared.of(path, out, options, store=store, seeds=seeds, only=only)
        with prepared, _reporter(progress) as reporter:
            prepared.run(reporter)
    return Results(prepared.directory, store, prepared.consent)


class _Silent:
    """A reporter that says nothing."""

    def start(self, packs: int, workers: int) -> None: ...
    def progress(self, name: str, progress: object) -> None: ...
    def finish(self, name: str, counts: Counter[str], reason: str) -> None: ...
    def say(self, text: str) -> None: ...


def _reporter(progress: bool) -> AbstractContextManager[Reporter]:
    if not progress:
        return nullcontext(_Silent())
    if in_notebook():
        return Notebook()
    from lvmbench.api.progress import Live, console

    return Live(console)


@contextmanager
def _file(suite: str | Path | Mapping[str, Any]) -> Iterator[str]:
    """What to load: a name, a path, or a file with what was given; messages about that one say ``suite``."""
    if not isinstance(suite, Mapping):
        yield str(suite)
        return
    with tempfile.TemporaryDirectory(prefix="lvmbench-suite-") as folder:
        path = Path(folder) / "suite.yaml"
        YAML().dump(json.loads(json.dumps(dict(suite), default=_plain)), path)
        try:
            yield str(path)
        except UserError as error:
            raise UserError(re.sub(rf"{re.escape(str(path))}(:\d+:\d+)?", "suite", str(error))) from None


def _plain(value: Any) -> str:
    """A path as text; raises `UserError` for what a file cannot hold."""
    if isinstance(value, Path):
        return str(value)
    raise UserError(
        f"suite: {value!r} cannot be written to a file; name components, and give your own as "
        "plugins=['file.py']"
    )
