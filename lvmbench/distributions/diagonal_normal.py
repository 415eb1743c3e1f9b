"""The normal distribution with independent coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class DiagonalNormal(Distribution):
    r"""The normal distribution with independent coordinates.

    .. math:: \log N(x; \mu, \sigma^2) = \sum_d -\tfrac12 (x_d - \mu_d)^2 / \sigma_d^2 - \log \sigma_d
        - \tfrac12 \log 2\pi

    Arguments:
        loc: The mean :math:`\mu`, ``(*batch, *event)``.
        log_scale: The log of the standard deviation :math:`\log\sigma`, broadcast to ``loc``.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> p = DiagonalNormal(torch.zeros(2), torch.zeros(2))
        >>> p.log_prob(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3])
    """

    traits = frozenset({"pathwise", "density", "mean", "units"})

    def __init__(self, loc: Tensor, log_scale: Tensor, event_dims: int = 1) -> None:
        self.loc = loc
        self.log_scale = log_scale.expand_as(loc)
        self.event_dims = event_dims

    @classmethod
    def of(cls, parameters: Tensor, event_dims: int = 1) -> DiagonalNormal:
        """The normal whose mean and log scale are side by side in one tensor, ``(*batch, 2, *event)``."""
        loc, log_scale = torch.unbind(parameters, dim=-1 - event_dims)
        return cls(loc, log_scale, event_dims)

    def log_prob(self, value: Tensor) -> Tensor:
        narrow = -self.log_scale
        standard = (value - self.loc) * narrow.exp()
        each = torch.add(narrow, standard.square(), alpha=-0.5) - HALF_LOG_2PI
        return sum_event(each, self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        value = self.loc + self.log_scale.exp() * noise.normal((samples, *self.loc.shape))
        return value, self.log_prob(value)

    def sample_with_slope(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        value, log_prob = self.sample_and_log_prob(noise, samples)
        with torch.no_grad():
            inverse = (-self.log_scale).exp()  # twice, as its square may be beyond what a float holds
            return value, log_prob, (self.loc - value) * inverse * inverse

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def units(self) -> DiagonalNormal:
        return DiagonalNormal(self.loc, self.log_scale, 0)
