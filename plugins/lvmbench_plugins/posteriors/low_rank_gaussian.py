"""The amortised normal posterior with a covariance of low rank beside its diagonal."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, LatentSpace, LowRankNormal, Size
from lvmbench.networks import Mask, Network, encoder


@final
class LowRankGaussian(Amortized):
    r"""An amortised normal whose coordinates share a few directions.

    .. math:: q(z|x) = N(z; \mu(x), \operatorname{diag} \sigma^2(x) + F(x) F(x)^\top), \qquad
        F(x) \in R^{D \times R}

    The rank is at most the number of latents. The network's output for :math:`F` is in units of
    :math:`\sigma`, and divided by the root of the rank.

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende, Mohamed,
        Wierstra, 2014), https://arxiv.org/abs/1401.4082 (section 4.3);
        Gaussian Variational Approximation with a Factor Covariance Structure (Ong, Nott, Smith, 2018),
        https://arxiv.org/abs/1701.03208

    Arguments:
        rank: The number :math:`R` of directions.
        network: The body of :math:`\mu`, :math:`\log\sigma` and :math:`F`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = LowRankGaussian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((4,)), rank=2)
        >>> q(torch.zeros(7, 3), None).factor.shape
        torch.Size([7, 4, 2])
    """

    distribution = LowRankNormal
    requires = frozenset({"prior.real"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        rank: Count = 2,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        size = space.vector("low_rank_gaussian")
        target = (2 + min(rank, size), size)
        self.network = encoder(network, data, target, hidden=hidden, layers=layers, mask=mask)

    def of(self, parameters: Tensor) -> LowRankNormal:
        loc, log_scale, *columns = parameters.unbind(-2)
        # the variance along the shared directions, a sum of R squares, does not grow with R at the start
        units = torch.stack(columns, -1) / len(columns) ** 0.5
        return LowRankNormal(loc, log_scale, log_scale.exp().unsqueeze(-1) * units)
