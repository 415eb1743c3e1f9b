"""Independent binary variables."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise


class Bernoulli(Distribution):
    r"""Independent binary variables, given by their logits.

    .. math:: \log p(x) = \sum_d x_d \ell_d - \log(1 + e^{\ell_d})

    Arguments:
        logits: The log odds :math:`\ell`, ``(*batch, *event)``.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> p = Bernoulli(torch.zeros(3, 8, 8), event_dims=2)
        >>> p.log_prob(torch.ones(3, 8, 8)).shape
        torch.Size([3])
    """

    traits = frozenset({"density", "mean", "relaxable", "units"})
    support = "binary"

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        self.event_dims = event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        # finite for every logit: a sigmoid that was rounded to 0 or 1 would have no logarithm
        ones = sum_event(value * self.logits, self.event_dims)
        # summed by itself: their difference would be one more tensor of the size of all values
        return ones - sum_event(softplus(self.logits), self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        value = (noise.uniform((samples, *self.logits.shape)) < self.mean).to(self.logits.dtype)
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    def relaxations(
        self, noise: Noise, samples: int, temperature: Tensor | float
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""With :math:`u \ge 1 - \theta` where the value is 1:
        relaxed ones are of the logistic quantile of u, and of another u there.
        """
        shape = (samples, *self.logits.shape)
        u, v, theta = noise.uniform(shape), noise.uniform(shape), self.mean
        # logit theta + logit u is above 0 just where u is above 1 - theta: relaxed values round to the value
        value = (u >= 1 - theta).to(theta.dtype).detach()
        # given the value, u is uniform on [1 - theta, 1) or on [0, 1 - theta); v is another such u
        other = torch.where(value > 0, 1 - theta + v * theta, v * (1 - theta))
        eps = torch.finfo(u.dtype).eps
        first, second = (self.logits + w.logit(eps) for w in (u, other))
        return value, (first / temperature).sigmoid(), (second / temperature).sigmoid()

    @property
    def units(self) -> Bernoulli:
        return Bernoulli(self.logits, 0)
