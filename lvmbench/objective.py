"""Objectives: bounds on log p(x)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lvmbench.component import Component
from lvmbench.terms import Terms


class Objective(nn.Module, Component, ABC):
    """A module whose call turns the `Terms` of a batch into the bound of each datum.

    ``samples`` is the number K of samples of z that it needs; ``lower_bound`` says whether its expectation never exceeds
    log p(x); ``additive`` whether it is the mean over samples of the bounds of single samples, so that a score estimator
    credits each sample with its own; ``warm_up`` is the number of epochs over which the KL weight rises from 0 to 1 (0: the budget's own);
    ``default_estimator`` is used where a suite names none. It provides ``log_weights`` where the bound is a function of the log
    weights alone, and ``multi_sample`` where it needs more than one sample.
    """

    samples: int = 1
    lower_bound: bool = True
    additive: bool = False
    warm_up: float = 0.0
    default_estimator: str = "pathwise"

    @abstractmethod
    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        """The bound, ``(B,)``, in nats per datum; ``kl_weight`` below 1 only while training warms up."""
