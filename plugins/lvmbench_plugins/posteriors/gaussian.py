"""The amortised diagonal normal posterior."""

from __future__ import annotations

from typing import final

from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, DiagonalNormal, LatentSpace, Size
from lvmbench.networks import Mask, Network, encoder


@final
class Gaussian(Amortized):
    r"""An amortised normal with independent coordinates.

    .. math:: q(z|x) = N(z; \mu(x), \operatorname{diag} \sigma^2(x))

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114

    Arguments:
        network: The body of :math:`\mu` and :math:`\log\sigma`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Gaussian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).mean.shape
        torch.Size([7, 2])
    """

    distribution = DiagonalNormal
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
        self.event_dims = len(space.event_shape)
        self.network = encoder(
            network, data, (2, *space.event_shape), hidden=hidden, layers=layers, mask=mask
        )

    def of(self, parameters: Tensor) -> DiagonalNormal:
        return DiagonalNormal.of(parameters, self.event_dims)
