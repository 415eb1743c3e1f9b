"""The bottom-up posterior of a hierarchy."""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Tensor, nn

from lvmbench import Amortized, Chain, Count, DataSummary, DiagonalNormal, LatentSpace, Size
from lvmbench.networks import ConditionalNormal, Mask, Network, encoder


@final
class BottomUp(Amortized):
    r"""Amortised normals layer by layer, the bottom one given x, each other given the layer below.

    .. math:: q(z|x) = N(z_1; \mu_1(x), \operatorname{diag} \sigma_1^2(x))
        \prod_{l > 1} N(z_l; \mu_l(z_{l-1}), \operatorname{diag} \sigma_l^2(z_{l-1}))

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende, Mohamed,
        Wierstra, 2014), https://arxiv.org/abs/1401.4082;
        Ladder Variational Autoencoders (Sonderby, Raiko, Maaloe, Sonderby, Winther, 2016),
        https://arxiv.org/abs/1602.02282

    Arguments:
        network: The body of :math:`\mu_1` and :math:`\log\sigma_1`; those of the layers above are ``mlp``.
        hidden: The width of the hidden layers.
        layers: The number of hidden layers of each network.
        mask: Whether the network of x is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace, Stream
        >>> q = BottomUp(DataSummary((3,), "real", torch.zeros(3)), LatentSpace.layered(6, 2))
        >>> q(torch.zeros(7, 3), None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 8])
    """

    distribution = Chain
    requires = frozenset({"prior.real", "prior.layers"})

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
        self.sizes = space.layers or (space.vector("bottom_up"),)
        self.network = encoder(network, data, (2, self.sizes[0]), hidden=hidden, layers=layers, mask=mask)
        self.above = nn.ModuleList(
            ConditionalNormal((a,), (b,), hidden=hidden, layers=layers) for a, b in pairwise(self.sizes)
        )

    def of(self, parameters: Tensor) -> Chain:
        return Chain(DiagonalNormal.of(parameters), list(self.above), self.sizes)
