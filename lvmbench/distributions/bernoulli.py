"""Independent binary variables."""

from __future__ import annotations

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

    traits = frozenset({"density", "mean", "units"})
    support = "binary"

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        self.event_dims = event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_event(value * self.logits - softplus(self.logits), self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        value = (noise.uniform((samples, *self.logits.shape)) < self.mean).to(self.logits.dtype)
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def units(self) -> Bernoulli:
        return Bernoulli(self.logits, 0)
