"""The amortised posterior of independent bits."""

from __future__ import annotations

from typing import final

from torch import Tensor

from lvmbench import Amortized, Bernoulli, Count, DataSummary, LatentSpace, Size
from lvmbench.networks import Mask, Network, encoder


@final
class BernoulliPosterior(Amortized):
    r"""Amortised independent bits (mean field).

    .. math:: q(z|x) = \prod_d \operatorname{Bernoulli}(z_d; \operatorname{sigmoid} \ell_d(x))

    References:
        Neural Variational Inference and Learning in Belief Networks (Mnih, Gregor, 2014),
        https://arxiv.org/abs/1402.0030

    Arguments:
        network: The body of :math:`\ell`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = BernoulliPosterior(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,), "binary"))
        >>> q(torch.zeros(7, 3), None).mean.shape
        torch.Size([7, 2])
    """

    distribution = Bernoulli
    requires = frozenset({"prior.binary"})

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
        self.network = encoder(network, data, space.event_shape, hidden=hidden, layers=layers, mask=mask)

    def of(self, parameters: Tensor) -> Bernoulli:
        return Bernoulli(parameters, self.event_dims)
