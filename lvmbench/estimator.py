"""Gradient estimators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor, nn

from lvmbench.component import Component
from lvmbench.dataset import DataSummary
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Noise
from lvmbench.objective import Estimate, Objective


class Estimator(nn.Module, Component, ABC):
    """A module that turns an objective into a surrogate whose gradient is taken.

    ``__init__(self, data, space, *, options)`` takes the `DataSummary` and the prior's `LatentSpace`, which
    most have no use for; without options there is none to write. Weights of its own are trained by the same
    surrogate; what it keeps from step to step is in buffers, written in place while it is training.
    ``unbiased`` says whether the surrogate's gradient has the expectation of the bound's gradient, and
    ``unbiased_where`` what the combination must provide for that, beyond what the estimator requires.
    """

    unbiased: bool = True
    unbiased_where: frozenset[str] = frozenset()

    def __init__(self, data: DataSummary | None = None, space: LatentSpace | None = None) -> None:
        super().__init__()

    @final
    def is_unbiased(self, provided: frozenset[str]) -> bool:
        """Whether it is unbiased in a combination that provides these capabilities."""
        return self.unbiased and self.unbiased_where <= provided

    @abstractmethod
    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        """Draw what the objective needs for ``x``, ``(B, *x)``, and return bound and surrogate."""
