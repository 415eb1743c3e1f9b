"""The Gaussian decoder for real-valued data."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from lvmbench import Count, DataSummary, Decoder, DiagonalNormal, LatentSpace, Size
from lvmbench.networks import Network
from lvmbench.networks import network as build


@final
class GaussianDecoder(Decoder):
    r"""Independent normal values whose means and log standard deviations are networks of z.

    .. math:: p(x|z) = N(x; \mu(z) + b, \operatorname{diag} \sigma^2(z))

    The data must not be discrete: the density of a continuous decoder on discrete data grows without bound.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114;
        Leveraging the Exact Likelihood of Deep Latent Variable Models (Mattei, Frellsen, 2018),
        https://arxiv.org/abs/1802.04826

    Arguments:
        network: The body of :math:`\mu` and :math:`\log\sigma`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        floor: The smallest log standard deviation, which keeps the likelihood bounded.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> p = GaussianDecoder(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 3)).shape
        torch.Size([5, 7])
    """

    distribution = DiagonalNormal
    requires = frozenset({"dataset.real"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        floor: float = -5.0,
    ) -> None:
        super().__init__()
        self.event_dims, self.floor = len(data.event_shape), floor
        self.network = build(network, space.event_shape, (2, *data.event_shape), hidden=hidden, layers=layers)
        self.offset = nn.Parameter(data.mean.clone())

    def forward(self, z: Tensor) -> DiagonalNormal:
        loc, log_scale = torch.unbind(self.network(z), dim=-1 - self.event_dims)
        return DiagonalNormal(loc + self.offset, log_scale.clamp(min=self.floor), self.event_dims)
