"""Jobs and their outcomes: what travels between the runner and its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from lvmbench.combinations.combination import Combination
from lvmbench.registry.loader import PluginSelection
from lvmbench.registry.names import Ref
from lvmbench.results.weights import CHECKPOINTS, WEIGHTS, weights_file
from lvmbench.status import Status


@dataclass(frozen=True)
class Warming:
    """What is loaded before the first job.

    Arguments:
        selection: The plugins.
        names: The components that are to be used, by kind and name.
        distributions: What they come from, by version, where that may differ there.
    """

    selection: PluginSelection
    names: frozenset[tuple[str, str]]
    distributions: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Run:
    """One run: a combination with a seed, and the key of its results."""

    combination: Combination
    seed: int
    key: str


@dataclass(frozen=True)
class Job:
    """Runs of one pack, and where they are trained.

    Arguments:
        runs: The runs.
        device: Where, by name.
        selection: The plugins that the worker loads.
        weights: The folder of the stored weights.
        checkpoint: After how many seconds it is saved where the training is; 0: never.
        keep: Whether a training that has ended leaves what larger budgets go on from.
        stacked: Whether one run alone is computed as in a pack, so that its weights are the same.
    """

    runs: tuple[Run, ...]
    device: str
    selection: PluginSelection
    weights: Path
    checkpoint: float = 0.0
    keep: bool = False
    stacked: bool = False

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.weights.with_name(CHECKPOINTS)

    def weights_file(self, run: Run) -> Path:
        """Where the weights of a run are stored."""
        return weights_file(self.weights, run.key)

    @property
    def folder(self) -> Path:
        """The results folder, below which it keeps files."""
        return self.weights.parent

    @property
    def reads(self) -> tuple[Path, ...]:
        """The files of that folder that it needs: none."""
        return ()

    def at(self, folder: Path) -> Self:
        """The same with another results folder, that is there for this job alone: nothing goes on from it."""
        return replace(self, weights=folder / WEIGHTS, checkpoint=0.0)


@dataclass(frozen=True)
class Measuring:
    """One evaluator to apply to the stored weights of one run.

    Arguments:
        job: That run alone.
        evaluator: The evaluator.
        facts: What is on record of the run's training.
        split: The split that is measured.
    """

    job: Job
    evaluator: Ref
    facts: Mapping[str, Any] = field(default_factory=dict)
    split: str = "test"

    @property
    def run(self) -> Run:
        """The run."""
        (run,) = self.job.runs
        return run

    @property
    def folder(self) -> Path:
        """The results folder, below which it keeps files."""
        return self.job.folder

    @property
    def reads(self) -> tuple[Path, ...]:
        """The files of that folder that it needs."""
        return (self.job.weights_file(self.run),)

    def at(self, folder: Path) -> Self:
        """The same with another results folder."""
        return replace(self, job=self.job.at(folder))


@dataclass(frozen=True)
class Trained:
    """How the training of one run, known by its key, ended."""

    key: str
    status: Status
    reason: str = ""
    traceback: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True)
class Evaluated:
    """What one evaluator gave for one run."""

    evaluator: str
    status: Status
    reason: str = ""
    traceback: str | None = None
    seconds: float = 0.0
    measurements: tuple[Mapping[str, Any], ...] = ()
    per_datum_sha256: str | None = None


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


class Baselines(NamedTuple):
    """What data sets are held against: what is to be fitted to them, and what is published of them."""

    fits: Sequence[Fitting] = ()
    published: Sequence[dict[str, Any]] = ()
