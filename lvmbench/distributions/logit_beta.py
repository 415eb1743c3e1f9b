"""The distribution of the logit of a beta variable."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise


class LogitBeta(Distribution):
    r"""Independent logits of beta variables.

    .. math:: z = \operatorname{logit} v, \quad v \sim \mathrm{Beta}(\alpha, \beta), \qquad
        \log p(z) = \alpha \log v + \beta \log (1 - v) - \log B(\alpha, \beta)

    Arguments:
        alpha: The exponent :math:`\alpha`, ``(*batch, *event)``.
        beta: The exponent :math:`\beta`, broadcast to ``alpha``.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> import torch
        >>> uniform = LogitBeta(torch.ones(1), torch.ones(1))
        >>> uniform.log_prob(torch.zeros(1)).exp()
        tensor(0.2500)
    """

    traits = frozenset({"pathwise", "density", "mean", "units"})

    def __init__(self, alpha: Tensor, beta: Tensor, event_dims: int = 1) -> None:
        self.alpha, self.beta, self.event_dims = alpha, beta.expand_as(alpha), event_dims

    @property
    def log_normaliser(self) -> Tensor:
        r""":math:`\log B(\alpha, \beta)`, ``(*batch, *event)``."""
        return self.alpha.lgamma() + self.beta.lgamma() - (self.alpha + self.beta).lgamma()

    def log_prob(self, value: Tensor) -> Tensor:
        each = self.alpha * logsigmoid(value) + self.beta * logsigmoid(-value) - self.log_normaliser
        return sum_event(each, self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        shape = (samples, *self.alpha.shape)
        # the logit of a beta variable is the log of a ratio of gamma variables
        value = noise.log_gamma(shape, self.alpha) - noise.log_gamma(shape, self.beta)
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        return self.alpha.digamma() - self.beta.digamma()

    @property
    def units(self) -> LogitBeta:
        return LogitBeta(self.alpha, self.beta, 0)
