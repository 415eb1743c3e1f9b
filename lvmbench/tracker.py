"""Trackers: who follows a run as it goes on, from start to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lvmbench.component import Component


@dataclass(frozen=True)
class TrackedRun:
    """One combination with one seed.

    Arguments:
        key: What identifies it, its components, budget, data and seed.
        seed: Its seed.
        columns: What names its combination in every table: components, latent size and budget.
    """

    key: str
    seed: int
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class SuiteStarted:
    """A suite begins, or goes on, in a results directory, an absolute path."""

    hook: ClassVar = "suite_started"
    suite: str
    version: int
    directory: str


@dataclass(frozen=True)
class JobStarted:
    """The training of a pack begins: the seeds of a combination together."""

    hook: ClassVar = "job_started"
    runs: Sequence[TrackedRun]


@dataclass(frozen=True)
class EpochEnded:
    """The mean training and validation bound of a run after an epoch, in nats per datum."""

    hook: ClassVar = "epoch_ended"
    run: TrackedRun
    epoch: int
    train_bound: float
    validation_bound: float


@dataclass(frozen=True)
class TrainingEnded:
    """The training of a run is at its end; ``facts`` are what is on record of it."""

    hook: ClassVar = "training_ended"
    run: TrackedRun
    status: str
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationEnded:
    """An evaluator has measured a run, or could not.

    Each measurement has ``metric, split, variant, method, value, stderr``.
    """

    hook: ClassVar = "evaluation_ended"
    run: TrackedRun
    evaluator: str
    status: str
    reason: str
    measurements: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class SuiteEnded:
    """The command is at its end; how many runs there are of each status."""

    hook: ClassVar = "suite_ended"
    counts: Mapping[str, int]


Event = SuiteStarted | JobStarted | EpochEnded | TrainingEnded | EvaluationEnded | SuiteEnded


class Tracker(Component):
    """Who is told what happens in a run; options are the keyword-only arguments of ``__init__``.

    A tracker overrides the hooks that it wants. It lives in a process of its own, is told in order, and
    changes nothing: what it raises is reported once, and it is told nothing more. Where a package is missing
    that it needs, ``__init__`` raises `Unavailable`.
    """

    def suite_started(self, event: SuiteStarted) -> None:
        """A suite begins."""

    def job_started(self, event: JobStarted) -> None:
        """The training of a combination begins."""

    def epoch_ended(self, event: EpochEnded) -> None:
        """A run has trained one more epoch."""

    def training_ended(self, event: TrainingEnded) -> None:
        """A run has been trained, or could not be."""

    def evaluation_ended(self, event: EvaluationEnded) -> None:
        """An evaluator has measured a run, or could not."""

    def suite_ended(self, event: SuiteEnded) -> None:
        """All is done that is going to be done."""
