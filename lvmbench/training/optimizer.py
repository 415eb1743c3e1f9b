"""The optimiser of a pack, and the learning rate of each of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    ReduceLROnPlateau,
    StepLR,
)

from lvmbench.combinations.budget import Budget, optimizer_of, schedule_of
from lvmbench.combinations.optimizers import SGD, Adam, Adamax, AdamNormGrad, AdamW, Optimizer, RMSprop
from lvmbench.combinations.schedules import Constant, Cosine, Plateau, Schedule, Stages, Step
from lvmbench.kernels.eager import eager

TINY = 1e-7
"""Added to the norm that a gradient is divided by, which may be 0."""
RATE = "learning_rate"
"""The name of the learning rate beside the numbers of its schedule."""


class PackOptimizer:
    """Improves stacked parameters ``(S, ...)`` by their gradients.

    Rows that need not have the same learning rate have an optimiser of their own, whose parameters are these
    rows of the stack: the same memory.

    Arguments:
        parameters: The stacked parameters that are trained.
        budget: Optimiser, learning rate, weight decay and schedule.
        rates: The learning rate of each row, where it is not the budget's; those of one rate together.
    """

    def __init__(
        self, parameters: Sequence[Tensor], budget: Budget, rates: Sequence[float] | None = None
    ) -> None:
        self.normalizes = isinstance(optimizer_of(budget.optimizer), AdamNormGrad)
        self._budget = budget
        self._begin(parameters, rates or [budget.learning_rate] * len(parameters[0]))

    def _begin(self, parameters: Sequence[Tensor], rates: Sequence[float]) -> None:
        schedule = schedule_of(self._budget.schedule)
        rows = _single(rates) if isinstance(schedule, Plateau) else _alike(rates)
        self.parameters, self._first = parameters, rates
        self._parts = [_Rows(parameters, part, self._budget, schedule, rates[part.start]) for part in rows]

    def select(self, rows: Sequence[int], parameters: Sequence[Tensor]) -> None:
        """Go on with these rows alone, which are now these parameters."""
        state, rates = self.state(), self.rates()
        self._begin(parameters, [self._first[row] for row in rows])
        self.restore({name: kept[rows] for name, kept in state.items()}, [rates[row] for row in rows])

    def step(self) -> None:
        """Move the parameters by their gradients."""
        if self.normalizes:
            normalize_each([p.grad for p in self.parameters if p.grad is not None])
        for part in self._parts:
            part.step()

    def end_epoch(self, bounds: Sequence[float], *, warm: bool) -> None:
        """Set the learning rates of the next epoch, by the validation bound
        of each run once the model is ``warm``.
        """
        for part in self._parts:
            part.end_epoch(bounds[part.rows.start], warm)  # a rate that several share asks for none

    def state(self) -> dict[str, Tensor]:
        """What is kept from step to step, with a row for each run."""
        kept = [part.kept for part in self._parts]
        return {name: torch.cat([one[name] for one in kept]) for name in kept[0]}

    def rates(self) -> list[dict[str, float]]:
        """The learning rate of each run, and the numbers that its schedule goes by."""
        return [part.rates for part in self._parts for _ in range(part.rows.start, part.rows.stop)]

    def restore(self, state: Mapping[str, Tensor], rates: Sequence[Mapping[str, float]]) -> None:
        """Go on from where an optimiser with these was."""
        for part in self._parts:
            kept = {name: tensor[part.rows] for name, tensor in state.items()}
            part.restore(kept, rates[part.rows.start])


def _single(rates: Sequence[float]) -> list[slice]:
    """Each row by itself."""
    return [slice(i, i + 1) for i in range(len(rates))]


def _alike(rates: Sequence[float]) -> Iterator[slice]:
    """The rows that have one learning rate.

    >>> list(_alike([0.1, 0.1, 0.2]))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    start = 0
    for _, same in groupby(rates):
        stop = start + len(list(same))
        yield slice(start, stop)
        start = stop


class _Rows:
    """Some rows of the stack, with their optimiser and its schedule."""

    def __init__(
        self, parameters: Sequence[Tensor], rows: slice, budget: Budget, schedule: Schedule, rate: float
    ) -> None:
        self.rows = rows
        self.pairs = [(p, p.detach()[rows].requires_grad_()) for p in parameters]
        leaves = [leaf for _, leaf in self.pairs]
        self.optimizer = _optimizer(optimizer_of(budget.optimizer), leaves, budget, rate)
        self.scheduler = _scheduler(schedule, self.optimizer, budget, rate)

    def step(self) -> None:
        for parameter, leaf in self.pairs:
            leaf.grad = None if parameter.grad is None else parameter.grad[self.rows]
        self.optimizer.step()

    def end_epoch(self, bound: float, warm: bool) -> None:
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        elif warm:
            self.scheduler.step(bound)

    @property
    def kept(self) -> dict[str, Tensor]:
        """What the optimiser keeps of each row, by the position of the parameter and its own word for it."""
        named = [(i, word, t) for i, (_, p) in enumerate(self.pairs) for word, t in self._state(p).items()]
        count = self.rows.stop - self.rows.start
        # steps are counted for all rows at once
        return {f"{i}/{word}": t if t.dim() else t.expand(count) for i, word, t in named}

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        return {word: t for word, t in self.optimizer.state[parameter].items() if isinstance(t, Tensor)}

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate, and what its schedule counts."""
        (group,) = self.optimizer.param_groups
        counted = {name: n for name, n in vars(self.scheduler).items() if type(n) in {int, float}}
        return {RATE: float(group["lr"]), **counted}

    def restore(self, kept: Mapping[str, Tensor], rates: Mapping[str, float]) -> None:
        for name, tensor in kept.items():
            i, _, word = name.partition("/")
            parameter = self.pairs[int(i)][1]
            value = tensor[0] if word == "step" else tensor
            self.optimizer.state[parameter][word] = value.to(parameter.device, copy=True)
        vars(self.scheduler).update({name: n for name, n in rates.items() if name != RATE})
        (group,) = self.optimizer.param_groups
        # a CUDA graph reads it from where it is
        group["lr"] = group["lr"].fill_(rates[RATE]) if isinstance(group["lr"], Tensor) else rates[RATE]


def normalize_each(gradients: Sequence[Tensor]) -> None:
    """Divide each gradient ``(S, ...)``, in place, by its norm for each run."""
    for g in gradients:
        norms = g.reshape(len(g), -1).norm(dim=1) + TINY
        g.div_(norms.view(-1, *[1] * (g.dim() - 1)))


def _optimizer(named: Optimizer, leaves: list[Tensor], budget: Budget, rate: float) -> torch.optim.Optimizer:
    on_gpu = leaves[0].is_cuda
    # what is replayed reads a rate that changes from memory; a CUDA graph cannot count steps on the processor
    dtype = torch.float32 if on_gpu else torch.float64
    given: dict[str, Any] = {"lr": torch.tensor(rate, dtype=dtype, device=leaves[0].device)}
    if budget.weight_decay is not None:
        given["weight_decay"] = budget.weight_decay
    match named:
        case SGD(momentum=momentum):
            return eager(torch.optim.SGD)(leaves, momentum=momentum, fused=True, **given)
        case RMSprop(decay=alpha, momentum=momentum, epsilon=eps):
            given |= {"alpha": alpha, "eps": eps, "momentum": momentum, "capturable": on_gpu}
            return eager(torch.optim.RMSprop)(leaves, **given)
        case Adamax(beta1=beta1, beta2=beta2, epsilon=eps):
            given |= {"betas": (beta1, beta2), "eps": eps, "capturable": on_gpu}
            return eager(torch.optim.Adamax)(leaves, **given)
        case AdamW(beta1=beta1, beta2=beta2, epsilon=eps):
            given |= {"betas": (beta1, beta2), "eps": eps, "fused": True, "capturable": on_gpu}
            return eager(torch.optim.AdamW)(leaves, **given)
        case Adam() | AdamNormGrad():
            given |= {"betas": (named.beta1, named.beta2), "eps": named.epsilon}
            adam = eager(torch.optim.Adam)(leaves, fused=True, capturable=on_gpu, **given)
            if isinstance(named, Adam) and named.second_moment:
                _start(adam, named.second_moment)
            return adam


def _start(adam: torch.optim.Adam, second_moment: float) -> None:
    """Give Adam's averages the values that they begin with, which it else sets at its first step."""
    for leaf in adam.param_groups[0]["params"]:
        squares = torch.full_like(leaf, second_moment, requires_grad=False)
        step = torch.zeros((), dtype=torch.float32, device=leaf.device)
        adam.state[leaf] = {"step": step, "exp_avg": torch.zeros_like(squares), "exp_avg_sq": squares}


def _scheduler(
    schedule: Schedule, optimizer: torch.optim.Optimizer, budget: Budget, rate: float
) -> LRScheduler | ReduceLROnPlateau:
    match schedule:
        case Constant():
            return ConstantLR(optimizer, factor=1.0)
        case Cosine(end=end):
            return CosineAnnealingLR(optimizer, budget.epochs, eta_min=end * rate)
        case Step(every=every, factor=factor):
            return StepLR(optimizer, every, factor)
        case Stages():
            return LambdaLR(optimizer, schedule.factor)
        case Plateau(patience=patience, factor=factor):
            # torch's threshold is relative: with it a bound below zero would be better for being a little
            # lower
            return ReduceLROnPlateau(
                optimizer, "max", factor, patience, threshold=0.0, threshold_mode="abs", eps=0.0
            )
