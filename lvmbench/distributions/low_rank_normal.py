"""The normal distribution with a diagonal covariance and a few directions more."""

from __future__ import annotations

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.distributions.diagonal_normal import HALF_LOG_2PI
from lvmbench.distributions.multivariate_normal import cholesky
from lvmbench.noise import Noise
from lvmbench.observation import observed


class LowRankNormal(Distribution):
    r"""The normal distribution with covariance :math:`\operatorname{diag} \sigma^2 + F F^\top`.

    .. math:: \log N(x; \mu, \Sigma) = -\tfrac12 (x - \mu)^\top \Sigma^{-1} (x - \mu) - \tfrac12 \log |\Sigma|
        - \tfrac{D}{2} \log 2\pi

    over the D values of an event, by way of the R by R matrix
    :math:`I + F^\top \operatorname{diag} \sigma^{-2} F` alone.

    Arguments:
        loc: The mean :math:`\mu`, ``(*batch, *event)``.
        log_scale: :math:`\log \sigma`, ``(*batch, D)`` or broadcast to it.
        factor: :math:`F`, ``(*batch, D, R)`` or broadcast to it.
        event_dims: How many of the last dimensions of the mean make one event.

    Example:
        >>> p = LowRankNormal(torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(3, 4, 2))
        >>> p.log_prob(torch.zeros(5, 3, 4)).shape
        torch.Size([5, 3])
    """

    traits = frozenset({"pathwise", "density", "mean"})

    def __init__(self, loc: Tensor, log_scale: Tensor, factor: Tensor, event_dims: int = 1) -> None:
        self.loc, self.log_scale, self.factor, self.event_dims = loc, log_scale, factor, event_dims
        self._scaled = (-log_scale).exp().unsqueeze(-1) * factor  # in units of sigma
        one = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        self._root = cholesky(self._scaled.mT @ self._scaled + one)

    @property
    def log_det(self) -> Tensor:
        """The log determinant of the covariance, ``*batch``."""
        # the matrix determinant lemma: |S + F F'| = |S| |I + F' S^-1 F|
        return 2 * (self.log_scale.sum(-1) + self._root.diagonal(dim1=-2, dim2=-1).log().sum(-1))

    def log_prob(self, value: Tensor) -> Tensor:
        difference = (value - self.loc).flatten(-self.event_dims)
        standard = (difference * (-self.log_scale).exp()).unsqueeze(-1)  # (..., *batch, D, 1)
        # Woodbury, in units of sigma: (I + G G')^-1 = I - G (I + G' G)^-1 G'
        along: Tensor = torch.linalg.solve_triangular(self._root, self._scaled.mT @ standard, upper=False)
        distance = standard.square().sum((-2, -1)) - along.square().sum((-2, -1))
        return -0.5 * (distance + self.log_det) - HALF_LOG_2PI * difference.shape[-1]

    def observed_log_prob(self, value: Tensor) -> Tensor:
        values, mask = observed(value, self.loc)  # at its mean, a value adds nothing to the square
        mask = mask.flatten(-self.event_dims)
        # with a scale of 1 and without a factor it adds nothing to the determinant
        log_scale = torch.where(mask, self.log_scale, 0.0)
        factor = torch.where(mask.unsqueeze(-1), self.factor, 0.0)
        marginal = LowRankNormal(self.loc, log_scale, factor, self.event_dims)
        return marginal.log_prob(values) + HALF_LOG_2PI * (~mask).to(values.dtype).sum(-1)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        own = noise.normal((samples, *self.loc.shape)).flatten(-self.event_dims)  # (K, *batch, D)
        shared = noise.normal((*own.shape[:-1], self.factor.shape[-1], 1))
        shift = self.log_scale.exp() * own + (self.factor @ shared).squeeze(-1)
        value = self.loc + shift.reshape(samples, *self.loc.shape)
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        return self.loc
