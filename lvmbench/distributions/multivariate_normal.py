"""The normal distribution with a full covariance."""

from __future__ import annotations

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.distributions.diagonal_normal import HALF_LOG_2PI
from lvmbench.noise import Noise
from lvmbench.observation import observed


def cholesky(matrix: Tensor) -> Tensor:
    """The Cholesky factor of matrices ``(..., D, D)``, NaN where one is not positive definite.

    torch's own raises for that, for which it waits for the device, and one bad matrix would cost the whole
    pack.
    """
    factor, info = torch.linalg.cholesky_ex(matrix)
    return torch.where((info == 0)[..., None, None], factor, torch.nan)


class MultivariateNormal(Distribution):
    r"""The normal distribution with covariance :math:`L L^\top`, over the D values of an event.

    .. math:: \log N(x; \mu, L L^\top) = -\tfrac12 \|L^{-1}(x - \mu)\|^2 - \sum_d \log L_{dd}
        - \tfrac{D}{2} \log 2\pi

    Arguments:
        loc: The mean :math:`\mu`, ``(*batch, *event)``.
        scale_tril: The Cholesky factor :math:`L`, ``(*batch, D, D)`` or broadcast to it.
        event_dims: How many of the last dimensions of the mean make one event.

    Example:
        >>> p = MultivariateNormal(torch.zeros(3, 2), torch.eye(2))
        >>> p.log_prob(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3])
    """

    traits = frozenset({"pathwise", "density", "mean"})

    def __init__(self, loc: Tensor, scale_tril: Tensor, event_dims: int = 1) -> None:
        self.loc = loc
        self.scale_tril = scale_tril
        self.event_dims = event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        difference = (value - self.loc).flatten(-self.event_dims)  # (..., *batch, D)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (
            -0.5 * (self._whitened(difference) ** 2).sum(-1) - log_det - HALF_LOG_2PI * difference.shape[-1]
        )

    def _whitened(self, difference: Tensor) -> Tensor:
        return _solved(self.scale_tril, difference, upper=False)

    def observed_log_prob(self, value: Tensor) -> Tensor:
        values, mask = observed(value, self.loc)  # at its mean, a value adds nothing to the square
        seen = mask.to(values.dtype).flatten(-self.event_dims)
        # rows and columns of what was not observed become those of the identity, which adds nothing to the
        # determinant
        covariance = self.scale_tril @ self.scale_tril.mT * seen.unsqueeze(-1) * seen.unsqueeze(-2)
        factor = cholesky(covariance + torch.diag_embed(1 - seen))
        marginal = MultivariateNormal(self.loc, factor, self.event_dims)
        return marginal.log_prob(values) + HALF_LOG_2PI * (1 - seen).sum(-1)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        standard = noise.normal((samples, *self.loc.shape)).flatten(-self.event_dims).unsqueeze(-1)
        shift = (self.scale_tril @ standard).squeeze(-1)  # (K, *batch, D)
        value = self.loc + shift.reshape(samples, *self.loc.shape)
        return value, self.log_prob(value)

    def sample_with_slope(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        value, log_prob = self.sample_and_log_prob(noise, samples)
        with torch.no_grad():
            standard = self._whitened((self.loc - value).flatten(-self.event_dims))
            slope = _solved(self.scale_tril.mT, standard, upper=True)
        return value, log_prob, slope.reshape(value.shape)

    @property
    def mean(self) -> Tensor:
        return self.loc


def _solved(factor: Tensor, rows: Tensor, *, upper: bool) -> Tensor:
    """The inverse of triangular matrices ``(..., D, D)`` times each row, ``(..., *batch, D)``."""
    if factor.dim() > 2:
        each: Tensor = torch.linalg.solve_triangular(factor, rows.unsqueeze(-1), upper=upper)
        return each.squeeze(-1)
    # one factor for all is not copied for each: y A' = d
    flat = rows.reshape(-1, rows.shape[-1])
    solved: Tensor = torch.linalg.solve_triangular(factor.mT, flat, upper=not upper, left=False)
    return solved.reshape(rows.shape)
