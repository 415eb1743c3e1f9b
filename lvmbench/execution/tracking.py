"""Trackers: each is told what happens in a process of its own, and switched off where it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from lvmbench.errors import UserError
from lvmbench.execution.executor import Crash, Limits, Tell
from lvmbench.execution.jobs import Evaluated, Job, Run, Trained
from lvmbench.execution.local import LocalExecutor
from lvmbench.execution.pool import CannotStart
from lvmbench.execution.progress import Progress
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.status import Status
from lvmbench.tracker import (
    EpochEnded,
    EvaluationEnded,
    Event,
    JobStarted,
    SuiteEnded,
    SuiteStarted,
    TrackedRun,
    Tracker,
    TrainingEnded,
)

BEGIN, HEAR = "lvmbench.execution.tracking:begin", "lvmbench.execution.tracking:hear"
PATIENCE = 60.0
"""Seconds that a tracker may take to begin, and then for all that it is told at a time."""
PAUSE = 0.1
"""Seconds between two looks at trackers that are waited for."""
_HERE: list[Tracker] = []
"""The tracker of this process, where it is a tracker's."""


def begin(job: tuple[PluginSelection, Ref], tell: Tell) -> None:
    """Make this process that of a tracker."""
    selection, ref = job
    _HERE.append(load_catalogue(selection).build("tracker", ref))


def hear(events: Sequence[Event], tell: Tell) -> None:
    """Let the tracker of this process know what has happened."""
    for event in events:
        getattr(_HERE[0], event.hook)(event)


class Follower:
    """A tracker in its process: what it is to know waits until it has taken in what it was told before."""

    def __init__(self, ref: Ref, selection: PluginSelection) -> None:
        self.ref, self.trouble = ref, ""
        self._executor, self._events = LocalExecutor(1), list[Event]()
        self._executor.submit(0, BEGIN, (selection, ref), Limits(PATIENCE))

    @property
    def busy(self) -> bool:
        """Whether there is anything that it can take in and has not."""
        return not self.trouble and (bool(self._events) or self._executor.room < 1)

    def tell(self, events: Iterable[Event]) -> None:
        """Let it know, as soon as it listens."""
        if not self.trouble:
            self._events.extend(events)

    def look(self) -> None:
        """See whether it is done, and tell it more; what goes wrong is its ``trouble``, and its end."""
        try:
            crashes = [e.outcome for e in self._executor.completed(0) if isinstance(e.outcome, Crash)]
        except CannotStart as error:
            crashes = [Crash(Status.FAILED, str(error))]
        if crashes:
            late = crashes[0].status == Status.TIMEOUT
            self.trouble = f"it took longer than {PATIENCE:g} s" if late else crashes[0].reason
            self.end()
        elif self._events and self._executor.room:
            self._executor.submit(0, HEAR, tuple(self._events), Limits(PATIENCE))
            self._events.clear()

    def end(self) -> None:
        """End its process."""
        self._events.clear()
        self._executor.cancel()


class Trackers:
    """All that follow a run.

    Raises `UserError`, when entered, where one of them cannot begin.

    Arguments:
        refs: What they are called, with their options.
        selection: The plugins that their processes load.
        say: Told when one is switched off.
    """

    def __init__(
        self,
        refs: Sequence[Ref] = (),
        selection: PluginSelection | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._refs, self._selection, self._say = refs, selection or PluginSelection(), say
        self._followers: list[Follower] = []
        self._told: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._followers = [Follower(ref, self._selection) for ref in self._refs]
        try:
            self._wait()
            for follower in self._followers:
                if follower.trouble:
                    raise UserError(f"--tracker {follower.ref}: {follower.trouble}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            self._wait()
            self._look()
        finally:
            self._end()

    def start(self, suite: str, version: int, directory: str) -> None:
        """The suite begins."""
        self._tell(SuiteStarted(suite, version, directory))

    def begin(self, job: Job) -> None:
        """A job of training begins, perhaps not for the first time."""
        for run in job.runs:
            self._told.pop(run.key, None)
        self._tell(JobStarted([*map(_tracked, job.runs)]))

    def go_on(self, job: Job, progress: Progress) -> None:
        """A job of training has got further."""
        runs = {run.key: _tracked(run) for run in job.runs}
        bounds = ((runs[key], epoch, *b) for epoch, keys in progress.epochs for key, b in keys.items())
        self._tell(*self._news(EpochEnded(*epoch) for epoch in bounds))

    def finish(self, run: Run, trained: Trained) -> None:
        """A run has been trained, or could not be."""
        tracked = _tracked(run)
        epochs = self._news(EpochEnded(tracked, *epoch) for epoch in trained.curve)
        self._tell(*epochs, TrainingEnded(tracked, str(trained.status), trained.reason, trained.facts))
        self._told.pop(run.key, None)

    def measure(self, run: Run, outcome: Evaluated) -> None:
        """A run has been measured, or could not be."""
        status, rows = str(outcome.status), outcome.measurements
        self._tell(EvaluationEnded(_tracked(run), outcome.evaluator, status, outcome.reason, rows))

    def end(self, counts: Mapping[str, int]) -> None:
        """All is done."""
        self._tell(SuiteEnded(counts))

    def _news(self, epochs: Iterable[EpochEnded]) -> Iterator[EpochEnded]:
        """Those of the epochs that nobody has been told of."""
        for event in epochs:
            if event.epoch > self._told.get(event.run.key, 0):
                self._told[event.run.key] = event.epoch
                yield event

    def _tell(self, *events: Event) -> None:
        for follower in self._followers:
            follower.tell(events)
        self._look()

    def _look(self) -> None:
        """See to each, and say once of those that fail that nothing more comes of them."""
        for follower in [*self._followers]:
            follower.look()
            if follower.trouble:
                self._followers.remove(follower)
                self._say(f"tracker {follower.ref} is switched off: {follower.trouble}")

    def _wait(self) -> None:
        """Wait until each has taken in all that it was told, or fails."""
        while any(follower.busy for follower in self._followers):
            for follower in self._followers:
                follower.look()
            time.sleep(PAUSE)

    def _end(self) -> None:
        for follower in self._followers:
            follower.end()


def _tracked(run: Run) -> TrackedRun:
    return TrackedRun(run.key, run.seed, run.combination.columns)
