"""Jobs and their outcomes: what travels between the runner and its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lvmbench.combinations.combination import Combination
from lvmbench.registry.loader import PluginSelection
from lvmbench.registry.names import Ref
from lvmbench.results.weights import weights_file
from lvmbench.status import Status


@dataclass(frozen=True)
class Job:
    """One pack to train.

    Arguments:
        combination: What to train.
        keys: The run key of each seed.
        device: Where, by name.
        selection: The plugins that the worker loads.
        weights: The folder of the stored weights.
    """

    combination: Combination
    keys: Mapping[int, str]
    device: str
    selection: PluginSelection
    weights: Path

    def weights_file(self, seed: int) -> Path:
        """Where the weights of one seed are stored."""
        return weights_file(self.weights, self.keys[seed])


@dataclass(frozen=True)
class Measuring:
    """One evaluator to apply to the stored weights of one run.

    Arguments:
        job: The pack that the run was trained in.
        seed: The run's seed.
        evaluator: The evaluator.
        facts: What is on record of the run's training.
        split: The split that is measured.
    """

    job: Job
    seed: int
    evaluator: Ref
    facts: Mapping[str, Any] = field(default_factory=dict)
    split: str = "test"


@dataclass(frozen=True)
class Trained:
    """How the training of one run ended."""

    seed: int
    status: Status
    reason: str = ""
    traceback: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[tuple[int, float, float], ...] = ()


@dataclass(frozen=True)
class Evaluated:
    """What one evaluator gave for one run."""

    seed: int
    evaluator: str
    status: Status
    reason: str = ""
    traceback: str | None = None
    seconds: float = 0.0
    measurements: tuple[Mapping[str, Any], ...] = ()


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
