"""Posteriors q(z|x)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from lvmbench.component import Component
from lvmbench.distributions import Distribution

if TYPE_CHECKING:
    from lvmbench.model import LatentVariableModel
    from lvmbench.noise import Noise


class Posterior(nn.Module, Component, ABC):
    """A module whose call returns q(z|x).

    ``__init__(self, data, space, *, options)`` takes the `DataSummary` and the prior's `LatentSpace`.
    ``distribution`` is the class its call returns, or ``None`` where that is the one registered for the pair
    of prior and decoder; what that class can do counts among what the posterior provides. One that is a
    function of x and of its own weights alone provides ``amortized``; one that also asks the model's prior or
    decoder provides ``reads_model`` instead.
    """

    distribution: type[Distribution] | None

    @property
    def plain(self) -> Posterior:
        """The posterior as it is measured: itself, or the one that it has a way to train."""
        return self

    @abstractmethod
    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        """q(z|x) of batch shape ``(B,)`` for ``x`` of shape ``(B, *x)``.

        Amortised families ignore ``model``.
        """

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        """What q is found from while it trains, ``(B, *x)``: x itself, unless it is trained on corrupted
        data.
        """
        return x


class Amortized(Posterior):
    """A posterior that is a function of what one network makes of x:
    its parameters, which may also be set for each datum alone.
    """

    provides = frozenset({"amortized"})
    network: nn.Module

    @abstractmethod
    def of(self, parameters: Tensor) -> Distribution:
        """The distribution of batch shape ``(B,)`` of parameters ``(B, ...)`` as the network returns them."""

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        return self.of(self.network(x))


class Searched(Posterior):
    """A posterior whose parameters are searched for, of each datum anew, by asking the model again and again.

    While a run is measured what a search has found is kept, so that its evaluators share it.
    """

    @abstractmethod
    def search(self, x: Tensor, model: LatentVariableModel) -> Tensor:
        """The parameters, ``(B, ...)``, for ``x`` of shape ``(B, *x)``."""

    @abstractmethod
    def of(self, parameters: Tensor) -> Distribution:
        """The distribution of batch shape ``(B,)`` of parameters ``(B, ...)``."""

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        return self.of(self.search(x, model))
