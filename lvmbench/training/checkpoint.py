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
from lvmbench.training.loop import Training
from lvmbench.training.result import SeedResult

VERSIONS = {"lvmbench": __version__, "torch": str(torch.__version__), "format": 2}
"""What is the same where a training goes on; the format is raised when checkpoints hold other things."""
FOUND = ("status", "reason", "epochs", "best_epoch", "best_bound", "curve", "seconds")
"""What is kept of the result of a seed; why it has stopped depends on the budget that it goes on with."""
OPTIMIZER, BEST = "optimizer/", "best/"


class Unusable(LvmbenchError):  # noqa: N818
    """A checkpoint that a training cannot go on from; says what it is."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the training of a pack was after an epoch.

    Arguments:
        keys: What its runs are known by.
        epoch: How many epochs have ended.
        started: When the training began.
        made: The versions that it was made with, and the kind of device.
        runs: What was found so far of each run.
        packed: The places of the runs that had not left the pack, in the order of its rows.
        rates: The numbers that the learning rate of each row goes by.
        tensors: The best weights, with a row for each run; weights, what the optimiser keeps, and the states
            of the sources of random numbers, with a row for each of those in the pack.
    """

    keys: Sequence[str]
    epoch: int
    started: str
    made: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    packed: Sequence[int]
    rates: Sequence[Mapping[str, float]]
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, training: Training, keys: Sequence[str], started: str) -> Checkpoint:
        """Where a training is between two epochs."""
        optimizer, packed = training.optimizer, training.packed
        rates = optimizer.rates() if optimizer else [{}] * len(packed)
        runs = [{name: getattr(result, name) for name in FOUND} for result in training.results]
        kept = {OPTIMIZER + name: value for name, value in optimizer.state().items()} if optimizer else {}
        tensors = {**_stacked(training), **_states(training), **kept}
        return cls(keys, training.epoch, started, made_with(training.device), runs, packed, rates, tensors)

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
        places = [self.keys.index(key) for key in keys]
        packed = [i for i, place in enumerate(places) if place in self.packed]
        rows = [self.packed.index(places[i]) for i in packed]
        tensors = {n: t[places if n.startswith(BEST) else rows] for n, t in self.tensors.items()}
        runs, rates = [self.runs[place] for place in places], [self.rates[row] for row in rows]
        return replace(self, keys=keys, runs=runs, packed=packed, rates=rates, tensors=tensors)

    def restore(self, training: Training) -> None:
        """Bring a training that has not begun to where this one was.

        Raises `Unusable`, before anything is changed, for one of other parts, versions or devices.
        """
        self._expect(training)
        training.select(self.packed)
        for name, tensor in _stacked(training).items():
            tensor.copy_(self.tensors[name])
        for name, sources in _generators(training).items():
            for source, state in zip(sources, self.tensors[name], strict=True):
                source.set_state(state.clone())
        training.results = self._results(training.seeds)
        training.epoch = self.epoch
        if training.optimizer:
            kept = {n: tensor for n, tensor in self.tensors.items() if n.startswith(OPTIMIZER)}
            state = {name.removeprefix(OPTIMIZER): tensor for name, tensor in kept.items()}
            training.optimizer.restore(state, self.rates)

    def _results(self, seeds: Sequence[int]) -> list[SeedResult]:
        curves = [[(*point,) for point in run["curve"]] for run in self.runs]
        parts = zip(seeds, self.runs, curves, strict=True)
        return [SeedResult(seed, **{**run, "curve": curve}) for seed, run, curve in parts]

    def _expect(self, training: Training) -> None:
        if reason := differences(self.made, made_with(training.device)):
            raise Unusable(reason)
        own = {**_stacked(training), **_states(training)}
        if any(n not in self.tensors or self.tensors[n].shape[1:] != t.shape[1:] for n, t in own.items()):
            raise Unusable("is of other parts")

    def is_on_the_way(self, training: Training) -> bool:
        """Whether a training with another budget of the same course comes to where this one was."""
        budget = training.budget
        in_time = budget.seconds is None or all(run["seconds"] < budget.seconds for run in self.runs)
        results = self._results(training.seeds)
        return in_time and self.epoch <= budget.epochs and all(self._ends_alike(training, r) for r in results)

    def _ends_alike(self, training: Training, found: SeedResult) -> bool:
        """Whether a training ends a seed when it was ended here, if it was."""
        again, ended = SeedResult(found.seed), False
        for epoch, *bounds in found.curve:
            if ended:
                return False
            again.record(epoch, *bounds)
            ended = training.has_stopped(again, epoch)
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
    return {**weights, **{BEST + name: tensor for name, tensor in training.best.items()}}


def _states(training: Training) -> dict[str, Tensor]:
    """The state of each source of random numbers, with a row for each seed."""
    sources = _generators(training)
    return {name: torch.stack([source.get_state() for source in each]) for name, each in sources.items()}


def _generators(training: Training) -> dict[str, list[torch.Generator]]:
    """The sources of random numbers that go on from epoch to epoch."""
    noise = {f"noise/{s.size}/{s.steps}": source.generators for s, source in training.noise.items()}
    visits = [stream.generator for stream in training.visits]
    return {"order": training.batches.orders, "visit": visits, **noise}
