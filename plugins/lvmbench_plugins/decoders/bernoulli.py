"""The Bernoulli decoder for binary data."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from lvmbench import Bernoulli, Count, DataSummary, Decoder, LatentSpace, Size
from lvmbench.networks import Network
from lvmbench.networks import network as build


@final
class BernoulliDecoder(Decoder):
    r"""Independent binary pixels whose logits are a network of z, started at the training mean.

    .. math:: p(x|z) = \prod_d \operatorname{Bernoulli}(x_d; \operatorname{sigmoid}(f_d(z) + b_d))

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114

    Arguments:
        network: The body of :math:`f`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> p = BernoulliDecoder(DataSummary((8, 8), "binary", torch.zeros(8, 8)), LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 8, 8)).shape
        torch.Size([5, 7])
    """

    distribution = Bernoulli
    requires = frozenset({"dataset.binary"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
    ) -> None:
        super().__init__()
        self.event_dims = len(data.event_shape)
        self.network = build(network, space.event_shape, data.event_shape, hidden=hidden, layers=layers)
        self.offset = nn.Parameter(data.mean.clamp(0.01, 0.99).logit())

    def forward(self, z: Tensor) -> Bernoulli:
        return Bernoulli(self.network(z) + self.offset, self.event_dims)
