"""The categorical decoder for equally spaced values."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from lvmbench import Count, DataSummary, Decoder, LatentSpace, Size
from lvmbench.distributions import CategoricalLevels
from lvmbench.networks import Network
from lvmbench.networks import network as build
from lvmbench_plugins.decoders._start import tilt


@final
class CategoricalDecoder(Decoder):
    r"""Independent choices among the levels of the data, whose logits are a network of z.

    .. math:: p(x|z) = \prod_d \operatorname{softmax}(f_d(z) + b_d)_{x_d / s}

    for values 0, s, ..., (L - 1) s: grey images with :math:`L` levels, or counts of less than :math:`L`. The
    network has :math:`L` outputs for each value. It starts at about the training mean.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner, Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759

    Arguments:
        network: The body of :math:`f`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data = DataSummary((3,), "count", torch.ones(3), levels=4)
        >>> p = CategoricalDecoder(data, LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 3)).shape
        torch.Size([5, 7])
    """

    distribution = CategoricalLevels
    requires = frozenset({"dataset.levels"})

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
        # data without levels are refused by the word, but it is built for them, to be asked what it requires
        event, levels = data.event_shape, max(data.levels, 2)
        self.event_dims, self.step = len(event), data.step
        # the levels stand first, as the channels of convolutions do
        self.network = build(network, space.event_shape, (levels, *event), hidden=hidden, layers=layers)
        at = torch.linspace(-0.5, 0.5, levels)[(..., *[None] * len(event))]
        self.offset = nn.Parameter(at * tilt(data.mean / (data.step * (levels - 1))))

    def forward(self, z: Tensor) -> CategoricalLevels:
        logits = (self.network(z) + self.offset).movedim(-1 - self.event_dims, -1)
        return CategoricalLevels(logits, self.step, self.event_dims)
