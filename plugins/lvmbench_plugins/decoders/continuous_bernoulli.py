"""The continuous Bernoulli decoder for values from 0 to 1."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from lvmbench import Count, DataSummary, Decoder, LatentSpace, Size
from lvmbench.distributions import ContinuousBernoulli
from lvmbench.networks import Network
from lvmbench.networks import network as build
from lvmbench_plugins.decoders._start import tilt


@final
class ContinuousBernoulliDecoder(Decoder):
    r"""Independent values from 0 to 1 whose log densities are linear, with slopes that are a network of z.

    .. math:: p(x|z) = \prod_d \frac{\ell_d}{e^{\ell_d} - 1}\, e^{x_d \ell_d}, \qquad \ell = f(z) + b

    It is the Bernoulli likelihood of grey values with the constant that makes it a density. The data must not
    be zeros and ones, on which it grows without bound. It starts at about the training mean.

    References:
        The Continuous Bernoulli: Fixing a Pervasive Error in Variational Autoencoders (Loaiza-Ganem,
        Cunningham, 2019), https://arxiv.org/abs/1907.06845

    Arguments:
        network: The body of :math:`f`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data = DataSummary((8, 8), "unit", torch.full((8, 8), 0.5))
        >>> p = ContinuousBernoulliDecoder(data, LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 8, 8)).shape
        torch.Size([5, 7])
    """

    distribution = ContinuousBernoulli
    requires = frozenset({"dataset.unit", "dataset.real"})

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
        self.offset = nn.Parameter(tilt(data.mean))

    def forward(self, z: Tensor) -> ContinuousBernoulli:
        return ContinuousBernoulli(self.network(z) + self.offset, self.event_dims)
