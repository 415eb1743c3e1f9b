"""The training loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.parts import Parts
from lvmbench.dataset import Data
from lvmbench.noise import Stream
from lvmbench.stages import stage
from lvmbench.training.batches import Batches, Shape, by_length, together
from lvmbench.training.graph import WARM, Function, as_written, faster
from lvmbench.training.learner import Learner, check_terms, demand, kept
from lvmbench.training.optimizer import PackOptimizer
from lvmbench.training.pack import Pack, PackNoise, clip_each, gains_from_vectorizing
from lvmbench.training.precision import matmul_precision
from lvmbench.training.result import Epoch, SeedResult
from lvmbench.training.validation import Validation

REPAID = 30
"""About so many replayed steps cost as much as recording one (``benchmarks/packs.py``)."""


class Checkpoints(Protocol):
    """What brings a training to where it was, and saves where it is."""

    def resume(self, training: Training) -> None:
        """Bring a training that has not begun to where it was, if that is known."""

    def end_epoch(self, training: Training, *, over: bool) -> None:
        """See an epoch ended, and maybe with it the training."""


def train(
    parts: Sequence[Parts],
    seeds: Sequence[int],
    data: Data,
    budget: Budget,
    device: torch.device,
    report: Callable[[Epoch], None] = lambda epoch: None,
    vectorized: bool | None = None,
    rates: Sequence[float] | None = None,
    checkpoints: Checkpoints | None = None,
    stacked: bool = False,
) -> list[SeedResult]:
    """Train runs together: the seeds of one combination, or of several that differ in numbers that may vary.

    Each gets its own data order, noise, early stopping and divergence.

    Arguments:
        parts: The built parts of each run.
        seeds: The seed of each.
        data: The data set.
        budget: Epochs, batch, optimiser, schedule, patience, seconds, warm-up.
        device: Where to train.
        report: Called after each epoch; also for those of an earlier call that it goes on from.
        vectorized: Whether to train them inside ``torch.vmap``; by default where that is possible and faster.
        rates: The learning rate of each, where it is not the budget's.
        checkpoints: Where the training is saved, so that it can go on from there.
        stacked: Whether one run alone is computed as in a pack, so that its weights are the same.
    """
    with stage("build"):
        training = Training(parts, seeds, data, budget, device, vectorized, rates=rates, stacked=stacked)
    if checkpoints:
        checkpoints.resume(training)
    with matmul_precision(budget.precision, device, training.product):
        return training.run(report, checkpoints)


def kl_weight(epochs: float, warm_up: float, cycles: int = 1) -> float:
    """The weight of the KL divergence after some epochs:
    up from 0 to 1 within ``warm_up``, then 1 as long, in each cycle.

    >>> [kl_weight(epochs, 2.0, cycles=2) for epochs in (0, 1, 2, 3, 4, 5, 6, 9)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0]
    """
    if not warm_up or epochs >= 2 * warm_up * cycles:
        return 1.0
    return min(1.0, epochs % (2 * warm_up) / warm_up)


class Training:
    """The state of one pack in training; `train` is the way to it.

    ``wrap`` is put around what is called at each step and validated batch, and by default has it replayed.
    """

    def __init__(
        self,
        parts: Sequence[Parts],
        seeds: Sequence[int],
        data: Data,
        budget: Budget,
        device: torch.device,
        vectorized: bool | None = None,
        wrap: Callable[[Function], Function] | None = None,
        rates: Sequence[float] | None = None,
        stacked: bool = False,
    ) -> None:
        learners = [Learner(p).to(device) for p in parts]
        if vectorized is None:
            runs = max(len(seeds), 2 if stacked else 1)
            vectorized = parts[0].vectorizable and gains_from_vectorizing(learners[0], runs, device)
        self.seeds, self.budget, self.device, self.visit = seeds, budget, device, data.visit
        self.wrap = wrap if wrap or parts[0].vectorizable else as_written
        self.train, validation = data.splits["train"], data.splits["validation"]
        self.source, self.decode = self.train.x.to(device), self.train.decode
        self.trim = data.in_steps(parts[0].model.prior.space)
        self.kept = tuple(kept(learners[0]))
        groups = by_length(self.train.lengths, budget.batch) if self.trim else None
        self.batches = Batches(groups or together(len(self.train), budget.batch), seeds, device)
        # on a copy: a trial step may write to buffers, and must leave no trace in what is trained
        tried = copy.deepcopy(learners[0])
        check_terms(tried, next(validation.batches(self.shape.size, trim=self.trim)).to(device))
        self.noise = {shape: self._noise(tried, shape, x) for shape, x in self._examples()}
        self.validation = Validation(validation, tried, device, trim=self.trim)
        self.pack = Pack(learners, vectorized=vectorized)
        self.optimizer = PackOptimizer(self.pack.trained, budget, rates) if self.pack.trained else None
        self.visits = [Stream.seeded(seed, "visit", device=device) for seed in seeds]
        self.samples = parts[0].objective.samples
        self.warm_up = parts[0].objective.warm_up or budget.warm_up
        self.cycles = parts[0].objective.cycles
        # the epoch from which the KL weight stays 1: the last cycle has risen
        self.warm = math.ceil(self.warm_up * (2 * self.cycles - 1))
        self.refreshes = any(part.refreshes for part in parts[0].components.values())
        self.results = [SeedResult(seed) for seed in seeds]
        self.best = self.pack.snapshot(self.kept)
        self.packed = [*range(len(seeds))]  # the run of each row of the pack
        self.epoch = 0
        self._record()

    @property
    def shape(self) -> Shape:
        """The shape of the first batch, which is as large as any."""
        return self.batches.shapes[0]

    @property
    def steps(self) -> float:
        """How many steps on the first batch an epoch is worth: as many as it has where all are alike."""
        return sum(shape.work for shape in self.batches.shapes) / self.shape.work

    @property
    def product(self) -> float:
        """About how many multiplications a matrix product of a step is."""
        sizes: list[int] = [p.shape[1:].numel() for p in self.pack.parameters.values() if p.dim() > 2]
        # of all runs, also where some have left: those that train on take the same products as before
        together = len(self.seeds) if self.pack.vectorized else 1
        return together * self.shape.work * self.samples * sum(sizes) / max(1, len(sizes))

    @property
    def seconds(self) -> float:
        """How long the epochs so far took."""
        return sum(result.seconds for result in self.results)

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows of the pack alone: the runs of others leave it, with what they have found."""
        self.packed = [self.packed[row] for row in rows]
        self.pack.select(rows)
        if self.optimizer:
            self.optimizer.select(rows, self.pack.trained)
        for noise in self.noise.values():
            noise.select(rows)
        self.batches.select(rows)
        self.visits = [self.visits[row] for row in rows]
        # what a first call makes, such as an optimiser's state, is there: it can be recorded soon
        self._record(WARM)

    def _record(self, warm: int | None = None) -> None:
        """Have steps and validated batches recorded: anew where what they read is in other memory."""
        wrap = self.wrap or faster(self.device, warm)
        self.worth = 0 if wrap is as_written else REPAID * len(self.noise)
        self.advance = {shape: wrap(partial(self._advance, shape)) for shape in self.noise}
        # batches of one shape draw as many numbers, and are measured by one function
        self.measure = {shape: wrap(self._measure) for shape in self.validation.shapes}

    def _examples(self) -> Iterator[tuple[Shape, Tensor]]:
        """A batch of each shape as a step sees it, for counting what a step draws."""
        noise = Stream.seeded(0, "recording", device=self.device)
        for shape, rows in self.batches.examples.items():
            x = self._values(rows, shape)
            yield shape, self.visit(x, noise) if self.visit else x

    def _noise(self, tried: Learner, shape: Shape, x: Tensor) -> PackNoise:
        """The source of noise of the batches of a shape, of which x is one."""
        words = ("training", *(part for part in shape if part is not None))
        return PackNoise(self.seeds, demand(tried, x, training=True), *words, device=self.device)

    def _values(self, rows: Tensor, shape: Shape) -> Tensor:
        """Some training data as models take them, cut to the steps of their batch."""
        return self.decode(self.source[:, : shape.steps][rows])

    def run(
        self, report: Callable[[Epoch], None], checkpoints: Checkpoints | None = None
    ) -> list[SeedResult]:
        """Train until every seed has stopped, or the budget is spent."""
        for epoch in self._past():
            report(epoch)
        active = self._going_on(range(len(self.seeds))) if self.epoch else {*range(len(self.seeds))}
        while active and self.epoch < self.budget.epochs:
            self._leave(active)
            report(self._next_epoch(active))
            active = self._going_on(active)
            if checkpoints:
                checkpoints.end_epoch(self, over=not active or self.epoch == self.budget.epochs)
        for run, result in enumerate(self.results):
            result.weights = {name: self.best[name][run].cpu() for name in self.kept}
        return self.results

    def _next_epoch(self, active: set[int]) -> Epoch:
        """Train for an epoch; what it gave the runs that had not stopped."""
        begun = time.perf_counter()
        self.epoch += 1
        trained = self._epoch(self.epoch)
        with stage("validation"):
            # the one synchronisation of an epoch
            bounds = torch.stack([trained, self._validate()]).tolist()
        if self.optimizer:
            self.optimizer.end_epoch(bounds[1], warm=self.epoch >= self.warm)
        rows = {run: row for row, run in enumerate(self.packed) if run in active}
        found = Epoch(self.epoch, *({run: bound[row] for run, row in rows.items()} for bound in bounds))
        self._take_in(found)
        share = (time.perf_counter() - begun) / len(active)
        for run in active:
            self.results[run].seconds += share
        return found

    def _leave(self, active: set[int]) -> None:
        """Let runs that have stopped leave the pack once that saves what it costs.

        That is as soon as what is computed for them, from their end to that of the epoch to come, is worth
        recording the steps anew: a rule of counts, so that nothing depends on what else a machine has to do.
        """
        first = sorted(range(len(self.packed)), key=lambda row: self.packed[row] not in active)
        rows = sorted(first[: max(self.pack.fewest, len(active))])
        idle = sum(self.epoch + 1 - self.results[run].epochs for run in {*self.packed} - active)
        if len(rows) < len(self.packed) and idle * self.steps >= self.worth * len(self.packed):
            self.select(rows)

    def _past(self) -> Iterator[Epoch]:
        """The epochs that an earlier training has done."""
        past = [Epoch(epoch, {}, {}) for epoch in range(1, self.epoch + 1)]
        for s, result in enumerate(self.results):
            for epoch, train, validation in result.curve:
                past[epoch - 1].train[s], past[epoch - 1].validation[s] = train, validation
        yield from past

    def steps_of(self, count: int) -> None:
        """Do some steps on the first batch, as a trial of their cost."""
        rows = self.batches.examples[self.shape].expand(len(self.packed), -1)
        for _ in range(count):
            self._step(self._visit(rows, self.shape), self.shape, 1.0)

    def _going_on(self, runs: Iterable[int]) -> set[int]:
        """Those of some runs that are not at their end after this epoch; the results of others say why."""
        return {run for run in runs if not self.has_stopped(self.results[run], self.epoch)}

    def has_stopped(self, result: SeedResult, epoch: int) -> bool:
        """Whether a run is at its end before the epochs are; its result then says why."""
        # while the KL weight is below 1 training climbs another bound than the one that is validated
        waited = epoch - max(result.best_epoch, self.warm)
        ends = {
            "diverged": result.status == "diverged",
            "untrainable": self.optimizer is None,
            "patience": 0 < self.budget.patience <= waited,
            "seconds": self.budget.seconds is not None and result.seconds >= self.budget.seconds,
        }
        result.stopped = next((name for name, holds in ends.items() if holds), result.stopped)
        return any(ends.values())

    def _take_in(self, found: Epoch) -> None:
        """Record what an epoch gave, and copy the weights of the runs that have just improved."""
        bounds = [(run, found.train[run], bound) for run, bound in found.validation.items()]
        improved = [run for run, *given in bounds if self.results[run].record(found.epoch, *given)]
        if improved:
            state, rows = self.pack.stacked, [self.packed.index(run) for run in improved]
            for name, tensor in self.best.items():
                tensor[improved] = state[name].detach()[rows]

    def _epoch(self, epoch: int) -> Tensor:
        """One pass over the training data; the mean bound of each seed, ``(S,)``, still on the device."""
        total = torch.zeros(len(self.packed), device=self.device)
        if self.refreshes:
            self.pack.refresh(self.train.ready(self.device))
        for step, (shape, rows) in enumerate(self.batches.epoch(epoch)):
            weight = kl_weight(epoch - 1 + step / len(self.batches.shapes), self.warm_up, self.cycles)
            total += self._step(self._visit(rows, shape), shape, weight) * shape.size
        return total / len(self.source)

    def _visit(self, rows: Tensor, shape: Shape) -> Tensor:
        """The batch of each seed, ``(S, B, *x)``."""
        with stage("batch"):
            x = self._values(rows, shape)
            if self.visit is None:
                return x
            return torch.stack([self.visit(row, noise) for row, noise in zip(x, self.visits, strict=True)])

    def _step(self, x: Tensor, shape: Shape, kl_weight: float) -> Tensor:
        """Improve each seed by its batch, ``(S, B, *x)``; their mean bounds, ``(S,)``."""
        with stage("noise"):
            self.noise[shape].draw()
        with stage("step"):
            return self.advance[shape](x, kl_weight)

    def _advance(self, shape: Shape, x: Tensor, kl_weight: Tensor | float) -> Tensor:
        """A step but for drawing its noise, which a GPU replays."""
        with stage("forward"):
            surrogates, bounds = self.pack(x, *self.noise[shape].drawn, kl_weight, True)
        if self.optimizer is not None:
            with stage("backward"):
                self.pack.backward(surrogates)
            with stage("optimiser"):
                self._improve(self.optimizer)
        return bounds.detach()

    def _improve(self, optimizer: PackOptimizer) -> None:
        """Move the weights by their gradients."""
        if self.budget.clip:
            clip_each([p.grad for p in self.pack.parameters.values() if p.grad is not None], self.budget.clip)
        optimizer.step()

    @torch.no_grad()
    def _validate(self) -> Tensor:
        """The mean validation bound of each seed, ``(S,)``."""
        total = torch.zeros(len(self.packed), device=self.device)
        for x, *noise in self.validation.with_noise([self.seeds[run] for run in self.packed]):
            total += self.measure[x.shape](x, *noise) * len(x)
        return total / len(self.validation)

    def _measure(self, x: Tensor, normals: Tensor, uniforms: Tensor) -> Tensor:
        """The mean bound of each seed, ``(S,)``, for a batch ``(B, *x)``."""
        return self.pack(x.expand(len(self.packed), *x.shape), normals, uniforms, 1.0, False)[1]
