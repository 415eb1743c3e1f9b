"""Independent counts that vary more than those of Poisson distributions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise

LARGE = 8.0
"""From here on Stirling's series of three terms is exact to 1e-10."""
LEAST = -80.0
"""The log of a dispersion so small that the density is that of Poisson distributions to the last digit."""


class NegativeBinomial(Distribution):
    r"""Independent counts, given by the logs of their mean and of their dispersion.

    .. math:: p(x) = \prod_d \frac{\Gamma(x_d + r_d)}{\Gamma(r_d)\, x_d!}
        \left(\frac{r_d}{r_d + \mu_d}\right)^{r_d} \left(\frac{\mu_d}{r_d + \mu_d}\right)^{x_d},
        \qquad r_d = 1 / \alpha_d

    The variance is :math:`\mu + \alpha \mu^2`; where the dispersion :math:`\alpha` falls to 0 this is the
    Poisson distribution. Densities are found in double precision.

    References:
        Negative Binomial Regression (Hilbe, 2011), https://doi.org/10.1017/CBO9780511973420

    Arguments:
        log_mean: :math:`\log\mu`, ``(*batch, *event)``.
        log_dispersion: :math:`\log\alpha`, broadcast to the mean.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> p = NegativeBinomial(torch.zeros(3, 2), torch.zeros(()))
        >>> p.log_prob(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3])
    """

    traits = frozenset({"density", "mean", "units"})
    support = "count"

    def __init__(self, log_mean: Tensor, log_dispersion: Tensor, event_dims: int = 1) -> None:
        self.log_mean, self.log_dispersion = log_mean, log_dispersion.expand_as(log_mean)
        self.event_dims = event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        # the logs of the factorials of large counts cancel: single precision would leave few digits
        x, log_mean = value.double(), self.log_mean.double()
        log_r = -self.log_dispersion.double().clamp(min=LEAST)  # the powers of larger r overflow
        r, odds = log_r.exp(), -logsigmoid(log_r - log_mean)  # log(1 + mu / r)
        each = _log_rising(x, r) - torch.lgamma(x + 1) + x * (log_mean - odds) - r * odds
        return sum_event(each, self.event_dims).to(self.log_mean.dtype)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        shape = (samples, *self.log_mean.shape)
        log_gamma = noise.log_gamma(shape, (-self.log_dispersion).exp())
        value = noise.poisson(shape, (log_gamma + self.log_mean + self.log_dispersion).exp())
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def units(self) -> NegativeBinomial:
        return NegativeBinomial(self.log_mean, self.log_dispersion, 0)


def _log_rising(x: Tensor, r: Tensor) -> Tensor:
    """log(Gamma(r + x) / Gamma(r) / r^x), which is 0 where r is infinite."""
    large = r > LARGE
    few, many = torch.where(large, 1.0, r), torch.where(large, r, LARGE)
    direct = torch.lgamma(few + x) - torch.lgamma(few) - x * few.log()
    # by Stirling, as the two would cancel
    series = (many + x - 0.5) * torch.log1p(x / many) - x + _stirling(many + x) - _stirling(many)
    return torch.where(large, series, direct)


def _stirling(a: Tensor) -> Tensor:
    return 1 / (12 * a) - 1 / (360 * a**3) + 1 / (1260 * a**5)
