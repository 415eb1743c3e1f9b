"""The bottom-up posterior of a belief network."""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Tensor, nn

from lvmbench import Amortized, Bernoulli, BinaryChain, Count, DataSummary, LatentSpace, Size
from lvmbench.networks import ConditionalBernoulli, Mask, Network, encoder


@final
class RecognitionNetwork(Amortized):
    r"""Amortised bits layer by layer, the bottom ones given x, all others given the layer below.

    .. math:: q(z|x) = \prod_d \operatorname{Bernoulli}(z_{1d}; \operatorname{sigmoid} \ell_{1d}(x))
        \prod_{l > 1} \prod_d \operatorname{Bernoulli}(z_{ld}; \operatorname{sigmoid} \ell_{ld}(z_{l-1}))

    References:
        The Wake-Sleep Algorithm for Unsupervised Neural Networks (Hinton, Dayan, Frey, Neal, 1995),
        https://doi.org/10.1126/science.7761831;
        Neural Variational Inference and Learning in Belief Networks (Mnih, Gregor, 2014),
        https://arxiv.org/abs/1402.0030

    Arguments:
        network: The body of :math:`\ell_1`; those of the layers above are ``mlp``.
        hidden: The width of the hidden layers.
        layers: The number of hidden layers of each network.
        mask: Whether the network of x is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> import torch
        >>> from lvmbench import DataSummary, LatentSpace, Stream
        >>> space = LatentSpace.layered(6, 2, support="binary")
        >>> q = RecognitionNetwork(DataSummary((3,), "real", torch.zeros(3)), space)
        >>> q(torch.zeros(7, 3), None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 8])
    """

    distribution = BinaryChain
    requires = frozenset({"prior.binary", "prior.layers"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 1,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.sizes = space.layers or (space.vector("belief_network"),)
        self.network = encoder(network, data, (self.sizes[0],), hidden=hidden, layers=layers, mask=mask)
        self.above = nn.ModuleList(
            ConditionalBernoulli((a,), (b,), hidden=hidden, layers=layers) for a, b in pairwise(self.sizes)
        )

    def of(self, parameters: Tensor) -> BinaryChain:
        return BinaryChain(Bernoulli(parameters), list(self.above), self.sizes)
