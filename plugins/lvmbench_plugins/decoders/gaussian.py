"""The Gaussian decoder for real-valued data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, final

import torch
from torch import Tensor, nn

from lvmbench import (
    Count,
    DataSummary,
    Decoder,
    DiagonalNormal,
    Distribution,
    LatentSpace,
    LowRankNormal,
    MultivariateNormal,
    Size,
)
from lvmbench.networks import Network
from lvmbench.networks import network as build

Covariance = Literal["isotropic", "diagonal", "low_rank", "full"]


@final
class GaussianDecoder(Decoder):
    r"""Normal values whose mean is a network of z, with a covariance of a chosen kind.

    .. math:: p(x|z) = N(x; \mu(z) + b, \Sigma), \qquad \Sigma = \sigma^2 I, \quad
        \operatorname{diag} \sigma^2, \quad \operatorname{diag} \sigma^2 + F F^\top \quad \text{or} \quad
        L L^\top

    for ``isotropic``, ``diagonal``, ``low_rank`` and ``full``, where :math:`\sigma` is one number or one for
    each value, F has few columns and L is triangular. With ``scale=network`` these are further outputs of the
    network, made of z; with ``scale=constant`` they are learned numbers, the same for every z. So one learned
    variance is ``covariance=isotropic,scale=constant``, and one for each pixel
    ``covariance=diagonal,scale=constant``.

    A ``full`` covariance of :math:`D` values takes :math:`D^2` numbers, from the network for each z, and as
    many steps for each density. The data must not be discrete: a density on discrete data grows without
    bound.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114;
        Leveraging the Exact Likelihood of Deep Latent Variable Models (Mattei, Frellsen, 2018),
        https://arxiv.org/abs/1802.04826;
        Training VAEs Under Structured Residuals (Dorta, Vicente, Agapito, Campbell, Simpson, 2018),
        https://arxiv.org/abs/1804.01050

    Arguments:
        covariance: The kind of :math:`\Sigma`.
        scale: Whether :math:`\Sigma` is made of z by the ``network``, or ``constant``.
        rank: The number of columns of F, at most that of values.
        network: The body of the mean, and of the covariance.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        floor: The smallest log standard deviation :math:`\log\sigma`, or :math:`\log L_{dd}`, which keeps the
            likelihood bounded.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> p = GaussianDecoder(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 3)).shape
        torch.Size([5, 7])
    """

    distribution: type[Distribution] = DiagonalNormal  # or another, as the covariance has it
    requires = frozenset({"dataset.real"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        covariance: Covariance = "diagonal",
        scale: Literal["network", "constant"] = "network",
        rank: Count = 2,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        floor: float = -5.0,
    ) -> None:
        super().__init__()
        event, size = data.event_shape, math.prod(data.event_shape)
        self.event_dims, self.floor = len(event), floor
        self.distribution, self.head = HEADS[covariance]
        more = {"low_rank": min(rank, size), "full": size}.get(covariance, 0)
        self.maps = (1, 1 + more) if scale == "network" else (1, 0)
        self.network = build(
            network, space.event_shape, (sum(self.maps), *event), hidden=hidden, layers=layers
        )
        self.offset = nn.Parameter(data.mean.clone())
        width = 1 if covariance == "isotropic" else size
        self.rows = nn.Parameter(_start(more, width)) if scale == "constant" else None

    def forward(self, z: Tensor) -> Distribution:
        loc, made = self.network(z).split(self.maps, -1 - self.event_dims)
        rows = made.flatten(-self.event_dims) if self.rows is None else self.rows
        log_scale = rows[..., 0, :].clamp(min=self.floor)
        loc = loc.squeeze(-1 - self.event_dims) + self.offset
        return self.head(loc, log_scale, rows[..., 1:, :], self.event_dims)


def _start(more: int, size: int) -> Tensor:
    """The rows of a constant covariance: log scales of 0, and small directions, as at 0 they would stay."""
    return torch.cat([torch.zeros(1, size), 0.1 * torch.randn(more, size)])


Head = Callable[[Tensor, Tensor, Tensor, int], Distribution]
"""From the mean ``(..., *x)``, log scales ``(..., D)``, more rows ``(..., R, D)`` and the dimensions of x."""


def _isotropic(loc: Tensor, log_scale: Tensor, more: Tensor, dims: int) -> DiagonalNormal:
    # a network has an output for each value, as bodies that make images do: they count with their mean
    return DiagonalNormal(loc, log_scale.mean(-1)[(..., *[None] * dims)], dims)


def _diagonal(loc: Tensor, log_scale: Tensor, more: Tensor, dims: int) -> DiagonalNormal:
    return DiagonalNormal(loc, log_scale.unflatten(-1, loc.shape[-dims:]), dims)


def _low_rank(loc: Tensor, log_scale: Tensor, more: Tensor, dims: int) -> LowRankNormal:
    # in units of sigma; the variance along the shared directions does not grow with R at the start
    units = more.mT / more.shape[-2] ** 0.5
    return LowRankNormal(loc, log_scale, log_scale.exp().unsqueeze(-1) * units, dims)


def _full(loc: Tensor, log_scale: Tensor, more: Tensor, dims: int) -> MultivariateNormal:
    # variances, sums of up to D squares, do not grow with D at the start
    below = more.tril(-1) / more.shape[-2] ** 0.5
    return MultivariateNormal(loc, below + torch.diag_embed(log_scale.exp()), dims)


HEADS: Mapping[Covariance, tuple[type[Distribution], Head]] = {
    "isotropic": (DiagonalNormal, _isotropic),
    "diagonal": (DiagonalNormal, _diagonal),
    "low_rank": (LowRankNormal, _low_rank),
    "full": (MultivariateNormal, _full),
}
"""What each kind of covariance returns, and how."""
