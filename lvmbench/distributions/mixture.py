"""A mixture of distributions of one family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution, closed
from lvmbench.noise import Noise

CHUNK = 2**24
"""How many numbers are held at once where values are weighed under all components."""
D = TypeVar("D", bound=Distribution)


class Mixture(Distribution, Generic[D]):
    r"""A mixture of :math:`C` distributions of one family.

    .. math:: \log p(x) = \log \sum_c \pi_c\, p_c(x)

    A component that returns one declares what it is a mixture of: ``distribution = Mixture[DiagonalNormal]``;
    a prior that leaves that open, ``distribution = Mixture``, has a mixture of what the posterior returns.
    The mean is known where the components have one.

    Arguments:
        logits: The unnormalised log weights :math:`\log\pi`, ``(*batch, C)``.
        components: The components, of batch shape ``(*batch, C)``.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> from lvmbench.distributions import DiagonalNormal
        >>> p = Mixture(torch.zeros(4), DiagonalNormal(torch.zeros(4, 2), torch.zeros(4, 2)))
        >>> p.log_prob(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3])
    """

    traits = frozenset({"density", "mean", "components", "strata"})
    lent: ClassVar[Mapping[str, str]] = {"density": "density", "mean": "mean", "strata": "pathwise"}

    def __init__(self, logits: Tensor, components: D, event_dims: int = 1) -> None:
        self.log_weights = logits.log_softmax(-1)
        self.components = components
        self.event_dims = event_dims

    @property
    def family(self) -> type[Distribution]:
        return closed(type(self), self.components.family)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._log_joint(value).logsumexp(-1)

    def observed_log_prob(self, value: Tensor) -> Tensor:
        each = self.components.observed_log_prob(value.unsqueeze(-1 - self.event_dims))
        return (self.log_weights + each).logsumexp(-1)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        chosen = (self.log_weights + noise.gumbel((samples, *self.log_weights.shape))).argmax(-1)
        # all components draw and one is kept: as many numbers whatever is chosen. The choice has no gradient:
        # samples carry none to the weights, and `pathwise` is no trait; `strata` is where those of the
        # components have gradients
        values = self.components.sample(noise, samples)  # (K, *batch, C, *event)
        index = chosen[(..., *[None] * (self.event_dims + 1))]
        value = torch.take_along_dim(values, index, dim=-1 - self.event_dims).squeeze(-1 - self.event_dims)
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        weights = self.log_weights.exp()[(..., *[None] * self.event_dims)]
        return (weights * self.components.mean).sum(-1 - self.event_dims)

    def assign(self, value: Tensor) -> Tensor:
        return self.log_assign(value).exp()

    def log_assign(self, value: Tensor) -> Tensor:
        """The log of `assign`, finite where that is rounded to 0."""
        return self._log_joint(value).log_softmax(-1)

    def strata(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        values = self.components.sample(noise, samples)  # (K, *batch, C, *event)
        return values.movedim(-1 - self.event_dims, 1), self.log_weights.movedim(-1, 0)

    def _log_joint(self, value: Tensor) -> Tensor:
        """log pi_c + log p_c(x), ``(..., C)``, of a few samples at a time where there are many components."""
        apart = -1 - self.event_dims
        lead = value.dim() - self.event_dims - self.log_weights.dim() + 1  # dimensions of samples
        if lead < 1:
            return self.log_weights + self.components.log_prob(value.unsqueeze(apart))
        samples, one = value.shape[:lead], value.shape[lead:]
        few = max(CHUNK // (math.prod(one) * self.log_weights.shape[-1]), 1)
        rows = value.reshape(-1, *one).split(few)
        each = torch.cat([self.components.log_prob(row.unsqueeze(apart)) for row in rows])
        return self.log_weights + each.reshape(*samples, *each.shape[1:])
