"""Objectives: bounds on log p(x)."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple, Self, final

from torch import Tensor, nn

from lvmbench.component import Component
from lvmbench.terms import Terms

if TYPE_CHECKING:
    from lvmbench.dataset import DataSummary
    from lvmbench.latents import LatentSpace
    from lvmbench.model import LatentVariableModel
    from lvmbench.noise import Noise


class Objective(nn.Module, Component, ABC):
    """A module whose call turns the `Terms` of a batch into the bound of each datum.

    ``samples`` is the number K of samples of z that it needs; ``lower_bound`` says whether its expectation
    never exceeds log p(x); ``evidence`` whether its exponential has the mean p(x); ``additive`` whether it is
    the mean over samples of the bounds of single samples, so that a score estimator credits each sample with
    its own; ``density`` whether it trains the decoder as a density p(x|z), without which there is no log p(x)
    to measure; ``linear`` whether log q(z|x) enters it linearly, with weights that do not depend on the
    samples, so that the score of q has the mean 0 in its gradient; ``batchwise`` whether the bound of a datum
    depends on the others of its batch; ``warm_up`` is the number of epochs over which the KL weight rises
    from 0 to 1 (0: the budget's own), and ``cycles`` how often it does so, each time staying at 1 as long as
    it rose; ``default_estimators`` are those to use where a suite names none: the first whose requirements
    the combination meets, or else the first of all.
    """

    samples: int = 1
    lower_bound: bool = True
    evidence: bool = False
    additive: bool = False
    linear: bool = False
    density: bool = True
    batchwise: bool = False
    warm_up: float = 0.0
    cycles: int = 1
    default_estimators: tuple[str, ...] = ("pathwise", "stratified", "score")

    @final
    @property
    def multi_sample(self) -> bool:
        """Whether it takes two samples or more."""
        return self.samples > 1

    def prepare(self, data: DataSummary, space: LatentSpace) -> None:
        """Make the weights of its own, once it is known what the data and z are like; most have none.

        They are trained by the same surrogate. Called once, when the parts of a combination are built.
        """

    @abstractmethod
    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        """The bound, ``(B,)``, in nats per datum; ``kl_weight`` below 1 only while training warms up."""

    def with_samples(self, samples: int) -> Self:
        """The same bound of another number of samples, with the same weights.

        Overridden where more depends on the number.
        """
        other = copy.copy(self)
        other.samples = samples
        return other


class Estimate(NamedTuple):
    """``bound`` is the objective's true value, ``(B,)``.

    ``surrogate``, ``(B,)``, has the gradient that training follows.
    """

    surrogate: Tensor
    bound: Tensor


class SurrogateObjective(Objective, ABC):
    """An objective that brings a surrogate of its own:
    what training follows is no estimator's gradient of the bound.

    Its estimator is `own`, and any other is refused. A subclass keeps ``surrogate`` among what it provides
    and ``estimator.own`` among what it requires; its call is the bound that evaluations report.
    """

    provides = frozenset({"surrogate"})
    requires = frozenset({"estimator.own"})
    default_estimators = ("own",)

    @abstractmethod
    def estimate(
        self, model: LatentVariableModel, x: Tensor, noise: Noise, kl_weight: Tensor | float = 1.0
    ) -> Estimate:
        """Draw what it needs for ``x``, ``(B, *x)``, and return bound and surrogate, as an estimator does."""


class WeightObjective(Objective, ABC):
    """An objective that is a function of the log weights alone, which estimators may evaluate at others.

    A subclass keeps ``log_weights`` among what it provides, and ``smooth`` where it has two derivatives, and
    leaves ``forward`` as it is.
    """

    provides = frozenset({"log_weights", "smooth"})
    requires = frozenset({"posterior.weights"})
    default_estimators = ("dreg", "pathwise", "vimco", "score")

    @abstractmethod
    def of_log_weights(self, log_w: Tensor) -> Tensor:
        """The bound, ``(B,)``, of log weights ``(K, B)``; increasing in each."""

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        return self.of_log_weights(terms.log_w(kl_weight))
