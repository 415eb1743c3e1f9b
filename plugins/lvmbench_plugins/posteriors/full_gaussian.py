"""The amortised normal posterior with a full covariance."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, LatentSpace, MultivariateNormal, Size
from lvmbench.networks import Mask, Network, encoder


@final
class FullGaussian(Amortized):
    r"""An amortised normal whose covariance has a network's Cholesky factor.

    .. math:: q(z|x) = N(z; \mu(x), L(x) L(x)^\top)

    The diagonal of :math:`L` is the exponential of the network's output; below it are the outputs themselves,
    divided by the root of the dimension.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114;
        An Introduction to Variational Autoencoders (Kingma, Welling, 2019), https://arxiv.org/abs/1906.02691
        (section 2.5.1)

    Arguments:
        network: The body of :math:`\mu` and :math:`L`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = FullGaussian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).scale_tril.shape
        torch.Size([7, 2, 2])
    """

    distribution = MultivariateNormal
    requires = frozenset({"prior.real"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        size = space.vector("full_gaussian")
        self.network = encoder(network, data, (size + 2, size), hidden=hidden, layers=layers, mask=mask)

    def of(self, parameters: Tensor) -> MultivariateNormal:
        loc, log_diagonal, *rows = parameters.unbind(-2)
        # variances, sums of up to D squares, do not grow with D at the start
        below = torch.stack(rows, -2).tril(-1) / len(rows) ** 0.5
        return MultivariateNormal(loc, below + torch.diag_embed(log_diagonal.exp()))
