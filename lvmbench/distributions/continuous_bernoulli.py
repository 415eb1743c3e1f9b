"""Independent values from 0 to 1 whose log densities are linear."""

from __future__ import annotations

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise

SERIES = (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775, -691 / 3831077250, 2 / 127702575)
"""The coefficients of log(sinh h / h) in h^2, h^4, ..."""
NEAR = 0.7
"""Below this |h| the series is exact to 1e-10, and its closed form loses digits."""


class ContinuousBernoulli(Distribution):
    r"""Independent values from 0 to 1, given by the logits of their parameters.

    .. math:: \log p(x) = \sum_d x_d \ell_d - \log \frac{e^{\ell_d} - 1}{\ell_d}
        = \sum_d (x_d - \tfrac12)\, \ell_d - \log \frac{\sinh(\ell_d / 2)}{\ell_d / 2}

    With :math:`\lambda = \operatorname{sigmoid}(\ell)` this is
    :math:`C(\lambda)\, \lambda^x (1 - \lambda)^{1 - x}`. A logit of 0 is the uniform distribution.

    References:
        The Continuous Bernoulli: Fixing a Pervasive Error in Variational Autoencoders (Loaiza-Ganem,
        Cunningham, 2019), https://arxiv.org/abs/1907.06845

    Arguments:
        logits: :math:`\ell`, ``(*batch, *event)``.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> p = ContinuousBernoulli(torch.zeros(3, 8, 8), event_dims=2)
        >>> p.log_prob(torch.full((3, 8, 8), 0.5))
        tensor([0., 0., 0.])
    """

    traits = frozenset({"pathwise", "density", "mean", "units"})
    support = "unit"

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits, self.event_dims = logits, event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_event((value - 0.5) * self.logits - _log_sinhc(self.logits / 2), self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        value = self._quantile(noise.uniform((samples, *self.logits.shape)))
        return value, self.log_prob(value)

    def _quantile(self, u: Tensor) -> Tensor:
        """log(1 + u (e^l - 1)) / l; for positive logits 1 less that of -l and 1 - u."""
        size = torch.where(self.logits > 0, self.logits, -self.logits)  # with a gradient at 0, unlike abs
        v = torch.where(self.logits > 0, 1 - u, u)
        small = size < 1e-3
        safe = torch.where(small, 1.0, size)
        far = -torch.log1p(v * torch.expm1(-safe)) / safe
        # to the second order in l, which is below the rounding of single precision
        near = v * (1 - size * (1 - v) / 2)
        found = torch.where(small, near, far).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - found, found)

    @property
    def mean(self) -> Tensor:
        return 0.5 + _langevin(self.logits / 2) / 2

    @property
    def units(self) -> ContinuousBernoulli:
        return ContinuousBernoulli(self.logits, 0)


def _log_sinhc(h: Tensor) -> Tensor:
    """log(sinh h / h), by its series near 0."""
    near = h.abs() < NEAR
    square = torch.where(near, h, 0.0) ** 2
    series = torch.zeros_like(h)
    for coefficient in reversed(SERIES):
        series = (series + coefficient) * square
    size = torch.where(near, 1.0, h).abs()
    return torch.where(near, series, size + torch.log(-torch.expm1(-2 * size) / (2 * size)))


def _langevin(h: Tensor) -> Tensor:
    """coth h - 1 / h, the slope of log(sinh h / h)."""
    near = h.abs() < NEAR
    small, size = torch.where(near, h, 0.0), torch.where(near, 1.0, h)
    series = torch.zeros_like(h)
    for order, coefficient in reversed(list(enumerate(SERIES, 1))):
        series = series * small**2 + 2 * order * coefficient
    return torch.where(near, series * small, 1 / torch.tanh(size) - 1 / size)
