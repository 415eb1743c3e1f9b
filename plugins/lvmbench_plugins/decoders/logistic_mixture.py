"""The decoder of discretised mixtures of logistics, for equally spaced values."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from lvmbench import Count, DataSummary, Decoder, LatentSpace, Size
from lvmbench.distributions import DiscretizedLogisticMixture
from lvmbench.networks import Network
from lvmbench.networks import network as build

FLOOR = -7.0 - math.log(2)
"""The smallest log scale in units of the range: that of PixelCNN++, where values go from -1 to 1."""


@final
class LogisticMixture(Decoder):
    r"""Mixtures of logistics, rounded to the levels of the data, whose parameters are a network of z.

    .. math:: p(x|z) = \prod_d \sum_m \pi_{dm}(z) \left(
        \operatorname{sigmoid}\Big(\frac{x_d + s/2 - \mu_{dm}(z)}{\sigma_{dm}(z)}\Big)
        - \operatorname{sigmoid}\Big(\frac{x_d - s/2 - \mu_{dm}(z)}{\sigma_{dm}(z)}\Big) \right)

    for values 0, s, ..., (L - 1) s, of which the first and the last have the tails. Values are independent
    given z: it is the likelihood of PixelCNN++ without the autoregression. The components start evenly spread
    over the levels.

    References:
        PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
        Modifications (Salimans, Karpathy, Chen, Kingma, 2017), https://arxiv.org/abs/1701.05517

    Arguments:
        components: The number of logistics for each value.
        network: The body of :math:`\log\pi`, :math:`\mu` and :math:`\log\sigma`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data = DataSummary((8, 8), "unit", torch.full((8, 8), 0.5), levels=17)
        >>> p = LogisticMixture(data, LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 8, 8)).shape
        torch.Size([5, 7])
    """

    distribution = DiscretizedLogisticMixture
    requires = frozenset({"dataset.levels"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        components: Count = 5,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
    ) -> None:
        super().__init__()
        event = data.event_shape
        self.event_dims, self.levels, self.step = len(event), data.levels, data.step
        self.reach = data.step * (data.levels - 1)
        # parameters and components stand first, as the channels of convolutions do
        target = (3, components, *event)
        self.network = build(network, space.event_shape, target, hidden=hidden, layers=layers)
        middles = (torch.arange(components) + 0.5) / components
        self.loc = nn.Parameter(middles[(..., *[None] * len(event))].expand(components, *event).clone())
        self.log_scale = nn.Parameter(torch.full((components, *event), 0.5 / components).log())

    def forward(self, z: Tensor) -> DiscretizedLogisticMixture:
        logits, loc, log_scale = self.network(z).unbind(-2 - self.event_dims)
        loc = self.reach * (loc + self.loc)
        log_scale = math.log(self.reach) + (log_scale + self.log_scale).clamp(min=FLOOR)
        logits, loc, log_scale = (m.movedim(-1 - self.event_dims, -1) for m in (logits, loc, log_scale))
        return DiscretizedLogisticMixture(logits, loc, log_scale, self.levels, self.step, self.event_dims)
