"""What training gives: after each epoch, and at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: the mean training and validation bound of each run that was still training,
    by its place in the pack.
    """

    epoch: int
    train: dict[int, float]
    validation: dict[int, float]


@dataclass
class SeedResult:
    """What training one run gave: its best weights on validation, named as in a `Learner`,
    and its learning curve.

    ``stopped`` says why it ended: ``budget`` (all epochs are spent), ``patience``, ``seconds``, ``diverged``,
    or ``untrainable`` where no parameter can be trained. ``seconds`` are its share of the epochs that it
    trained in.
    """

    seed: int
    status: str = "ok"
    reason: str = ""
    epochs: int = 0
    best_epoch: int = 0
    best_bound: float = -math.inf
    stopped: str = "budget"
    weights: dict[str, Tensor] = field(default_factory=dict)
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    seconds: float = 0.0

    def record(self, epoch: int, train: float, validation: float) -> bool:
        """Take in one epoch; says whether it is the best so far."""
        self.epochs = epoch
        if not (math.isfinite(train) and math.isfinite(validation)):
            self.status = self.stopped = "diverged"
            self.reason = f"epoch {epoch}: training bound {train:.4g}, validation bound {validation:.4g}"
            return False
        self.curve.append((epoch, train, validation))
        if validation <= self.best_bound:
            return False
        self.best_bound, self.best_epoch = validation, epoch
        return True
