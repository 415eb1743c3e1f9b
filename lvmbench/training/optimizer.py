"""The optimiser of a pack, and the learning rate of each of its seeds."""

from __future__ import annotations

from collections.abc import Sequence
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

TINY = 1e-7
"""Added to the norm that a gradient is divided by, which may be 0."""


class PackOptimizer:
    """Improves stacked parameters ``(S, ...)`` by their gradients.

    Where each seed has a learning rate of its own, each has an optimiser of its own, whose parameters are the
    seed's rows of the stack: the same memory.

    Arguments:
        parameters: The stacked parameters that are trained.
        budget: Optimiser, learning rate, weight decay and schedule.
    """

    def __init__(self, parameters: Sequence[Tensor], budget: Budget) -> None:
        self.parameters = parameters
        self.normalizes = isinstance(optimizer_of(budget.optimizer), AdamNormGrad)
        schedule = schedule_of(budget.schedule)
        self.per_seed = isinstance(schedule, Plateau)
        rows = range(len(parameters[0])) if self.per_seed else [slice(None)]
        self._parts = [_Rows(parameters, row, budget, schedule) for row in rows]

    def step(self) -> None:
        """Move the parameters by their gradients."""
        if self.normalizes:
            normalize_per_seed([p.grad for p in self.parameters if p.grad is not None])
        for part in self._parts:
            part.step()

    def end_epoch(self, bounds: Sequence[float], *, warm: bool) -> None:
        """Set the learning rates of the next epoch, by the validation bound
        of each seed once the model is ``warm``.
        """
        for part, bound in zip(self._parts, bounds, strict=False):  # a shared rate asks for none
            part.end_epoch(bound, warm)


class _Rows:
    """Some rows of the stack, with their optimiser and its schedule."""

    def __init__(
        self, parameters: Sequence[Tensor], row: int | slice, budget: Budget, schedule: Schedule
    ) -> None:
        self.row = row
        self.pairs = [(p, p.detach()[row].requires_grad_()) for p in parameters]
        self.optimizer = _optimizer(optimizer_of(budget.optimizer), [leaf for _, leaf in self.pairs], budget)
        self.scheduler = _scheduler(schedule, self.optimizer, budget)

    def step(self) -> None:
        for parameter, leaf in self.pairs:
            leaf.grad = None if parameter.grad is None else parameter.grad[self.row]
        self.optimizer.step()

    def end_epoch(self, bound: float, warm: bool) -> None:
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        elif warm:
            self.scheduler.step(bound)


def normalize_per_seed(gradients: Sequence[Tensor]) -> None:
    """Divide each gradient ``(S, ...)``, in place, by its norm for each seed."""
    for g in gradients:
        norms = g.reshape(len(g), -1).norm(dim=1) + TINY
        g.div_(norms.view(-1, *[1] * (g.dim() - 1)))


def _optimizer(named: Optimizer, leaves: list[Tensor], budget: Budget) -> torch.optim.Optimizer:
    on_gpu = leaves[0].is_cuda
    # a CUDA graph reads a rate that changes from memory, and cannot count steps on the processor
    rate = torch.tensor(budget.learning_rate, device=leaves[0].device) if on_gpu else budget.learning_rate
    given: dict[str, Any] = {"lr": rate}
    if budget.weight_decay is not None:
        given["weight_decay"] = budget.weight_decay
    match named:
        case SGD(momentum=momentum):
            return torch.optim.SGD(leaves, momentum=momentum, fused=True, **given)
        case RMSprop(decay=alpha, momentum=momentum, epsilon=eps):
            given |= {"alpha": alpha, "eps": eps, "momentum": momentum, "capturable": on_gpu}
            return torch.optim.RMSprop(leaves, **given)
        case Adamax(beta1=beta1, beta2=beta2, epsilon=eps):
            given |= {"betas": (beta1, beta2), "eps": eps, "capturable": on_gpu}
            return torch.optim.Adamax(leaves, **given)
        case AdamW(beta1=beta1, beta2=beta2, epsilon=eps):
            given |= {"betas": (beta1, beta2), "eps": eps, "fused": True, "capturable": on_gpu}
            return torch.optim.AdamW(leaves, **given)
        case Adam() | AdamNormGrad():
            given |= {"betas": (named.beta1, named.beta2), "eps": named.epsilon}
            adam = torch.optim.Adam(leaves, fused=True, capturable=on_gpu, **given)
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
    schedule: Schedule, optimizer: torch.optim.Optimizer, budget: Budget
) -> LRScheduler | ReduceLROnPlateau:
    match schedule:
        case Constant():
            return ConstantLR(optimizer, factor=1.0)
        case Cosine(end=end):
            return CosineAnnealingLR(optimizer, budget.epochs, eta_min=end * budget.learning_rate)
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
