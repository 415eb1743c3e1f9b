"""Checkpoints: what a training goes on from once it was cut short, or where its budget is raised."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lvmbench import __version__
from lvmbench.data.tensors import Damaged, description_of, read_described, write_described
from lvmbench.errors import LvmbenchError
from lvmbench.training.loop import SeedResult, Training

VERSIONS = {"lvmbench": __version__, "torch": str(torch.__version__), "format": 1}
"""What is the same where a training goes on; the format is raised when checkpoints hold other things."""
FOUND = ("status", "reason", "epochs", "best_epoch", "best_bound", "curve")
"""What is kept of the result of a seed; why it has stopped depends on the budget that it goes on with."""
OPTIMIZER = "optimizer/"


class Unusable(LvmbenchError):  # noqa: N818
    """A checkpoint that a training cannot go on from; says what it is."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the training of a pack was after an epoch.

    Arguments:
        keys: What its runs are known by, in the order of the rows.
        epoch: How many epochs have ended.
        seconds: How long these took, for each run.
        started: When the training began.
        made: The versions that it was made with, and the kind of device.
        runs: For each run what was found so far, and the numbers that its learning rate goes by.
        tensors: Weights, best weights, what the optimiser keeps, and the states of the sources of random
            numbers, with a row for each run.
    """

    keys: Sequence[str]
    epoch: int
    seconds: float
    started: str
    made: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, training: Training, keys: Sequence[str], started: str) -> Checkpoint:
        """Where a training is between two epochs."""
        optimizer, seconds = training.optimizer, training.seconds / len(keys)
        rates = optimizer.rates() if optimizer else [{}] * len(keys)
        found = zip(training.results, rates, strict=True)
        runs = [{**{name: getattr(result, name) for name in FOUND}, "rates": each} for result, each in found]
        kept = {OPTIMIZER + name: value for name, value in optimizer.state().items()} if optimizer else {}
        tensors = {**_stacked(training), **_states(training), **kept}
        return cls(keys, training.epoch, seconds, started, made_with(training.device), runs, tensors)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """The checkpoint in a file; raises `Unusable` where it is not as it was written."""
        try:
            return cls._told(*read_described(path))
        except (Damaged, OSError) as error:
            raise Unusable(str(error)) from error

    @classmethod
    def glance(cls, path: Path) -> Checkpoint:
        """The same without its tensors, unchecked."""
        try:
            return cls._told(description_of(path), {})
        except (Damaged, OSError) as error:
            raise Unusable(str(error)) from error

    @property
    def foreign(self) -> str:
        """In what it is foreign here, on whatever device, if in anything."""
        return differences(self.made, VERSIONS)

    @classmethod
    def _told(cls, text: str, tensors: Mapping[str, Tensor]) -> Checkpoint:
        try:
            return cls(**json.loads(text), tensors=tensors)
        except (TypeError, ValueError) as error:
            raise Unusable("is no checkpoint of this version") from error

    def write(self, path: Path) -> None:
        """Write it to a file, whole or not at all."""
        facts = {name: value for name, value in vars(self).items() if name != "tensors"}
        write_described(self.tensors, json.dumps(facts), path)

    def of_runs(self, keys: Sequence[str]) -> Checkpoint:
        """That of these runs alone; raises `Unusable` where they are not among its own."""
        if not {*keys} <= {*self.keys}:
            raise Unusable("is of other runs")
        rows = [self.keys.index(key) for key in keys]
        tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        return replace(self, keys=keys, runs=[self.runs[row] for row in rows], tensors=tensors)

    def restore(self, training: Training) -> None:
        """Bring a training that has not begun to where this one was.

        Raises `Unusable`, before anything is changed, for one of other parts, versions or devices.
        """
        self._expect(training)
        for name, tensor in _stacked(training).items():
            tensor.copy_(self.tensors[name])
        for name, sources in _generators(training).items():
            for source, state in zip(sources, self.tensors[name], strict=True):
                source.set_state(state.clone())
        training.results = self._results(training.seeds)
        training.epoch, training.seconds = self.epoch, self.seconds * len(self.keys)
        if training.optimizer:
            kept = {n: tensor for n, tensor in self.tensors.items() if n.startswith(OPTIMIZER)}
            state = {name.removeprefix(OPTIMIZER): tensor for name, tensor in kept.items()}
            training.optimizer.restore(state, [run["rates"] for run in self.runs])

    def _results(self, seeds: Sequence[int]) -> list[SeedResult]:
        found = [{name: run[name] for name in FOUND} for run in self.runs]
        curves = [[(*point,) for point in run["curve"]] for run in self.runs]
        parts = zip(seeds, found, curves, strict=True)
        return [SeedResult(seed, **{**each, "curve": curve}) for seed, each, curve in parts]

    def _expect(self, training: Training) -> None:
        if reason := differences(self.made, made_with(training.device)):
            raise Unusable(reason)
        shapes = {name: tensor.shape for name, tensor in {**_stacked(training), **_states(training)}.items()}
        if any(name not in self.tensors or self.tensors[name].shape != s for name, s in shapes.items()):
            raise Unusable("is of other parts")

    def is_on_the_way(self, training: Training) -> bool:
        """Whether a training with another budget of the same course comes to where this one was."""
        budget = training.budget
        in_time = budget.seconds is None or self.seconds < budget.seconds
        results = self._results(training.seeds)
        return in_time and self.epoch <= budget.epochs and all(self._ends_alike(training, r) for r in results)

    def _ends_alike(self, training: Training, found: SeedResult) -> bool:
        """Whether a training ends a seed when it was ended here, if it was."""
        again, ended = SeedResult(found.seed), False
        for epoch, *bounds in found.curve:
            if ended:
                return False
            again.record(epoch, *bounds)
            ended = training.has_stopped(again, epoch, 0.0)
        return not ended if found.status != "ok" else ended or found.epochs == self.epoch


def made_with(device: torch.device) -> dict[str, Any]:
    """What has to be the same where a training goes on."""
    return {"device": device.type, **VERSIONS}


def differences(made: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In what a checkpoint is foreign here, if in anything."""
    differing = [f"{name} {made.get(name)}, not {it}" for name, it in here.items() if made.get(name) != it]
    return f"was made with {' and '.join(differing)}" if differing else ""


def _stacked(training: Training) -> dict[str, Tensor]:
    """The weights and buffers of a training, and the best ones so far."""
    weights = {f"weights/{name}": tensor.detach() for name, tensor in training.pack.stacked.items()}
    return {**weights, **{f"best/{name}": tensor for name, tensor in training.best.items()}}


def _states(training: Training) -> dict[str, Tensor]:
    """The state of each source of random numbers, with a row for each seed."""
    sources = _generators(training)
    return {name: torch.stack([source.get_state() for source in each]) for name, each in sources.items()}


def _generators(training: Training) -> dict[str, list[torch.Generator]]:
    """The sources of random numbers that go on from epoch to epoch."""
    noise = {f"noise/{s.size}/{s.steps}": source.generators for s, source in training.noise.items()}
    visits = [stream.generator for stream in training.visits]
    return {"order": training.batches.orders, "visit": visits, **noise}
