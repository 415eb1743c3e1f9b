"""The optimiser of a pack, and the learning rate of each of its seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, ReduceLROnPlateau, StepLR

from lvmbench.combinations.budget import Budget, Constant, Cosine, Plateau, Schedule, Step, schedule_of

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, fused=True),
}


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
        schedule = schedule_of(budget.schedule)
        self.per_seed = isinstance(schedule, Plateau)
        rows = range(len(parameters[0])) if self.per_seed else [slice(None)]
        self._parts = [_Rows(parameters, row, budget, schedule) for row in rows]

    def zero_grad(self) -> None:
        """Forget the gradients of the step before."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move the parameters by their gradients."""
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
        options = {} if budget.weight_decay is None else {"weight_decay": budget.weight_decay}
        leaves = [leaf for _, leaf in self.pairs]
        self.optimizer = OPTIMIZERS[budget.optimizer](leaves, lr=budget.learning_rate, **options)
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
        case Plateau(patience=patience, factor=factor):
            # torch's threshold is relative: with it a bound below zero would be better for being a little
            # lower
            return ReduceLROnPlateau(
                optimizer, "max", factor, patience, threshold=0.0, threshold_mode="abs", eps=0.0
            )
