"""The amortised posterior of independent choices among classes."""

from __future__ import annotations

from typing import final

from torch import Tensor

from lvmbench import Amortized, Categorical, Count, DataSummary, LatentSpace, Size
from lvmbench.networks import Mask, Network, encoder


@final
class CategoricalPosterior(Amortized):
    r"""Amortised independent choices among classes, one for each group (mean field).

    .. math:: q(z|x) = \prod_g \operatorname{Categorical}(z_g; \operatorname{softmax} \ell_g(x))

    References:
        Semi-supervised Learning with Deep Generative Models (Kingma et al., 2014),
        https://arxiv.org/abs/1406.5298

    Arguments:
        network: The body of :math:`\ell`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data, space = DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2, 5), "one_hot")
        >>> q = CategoricalPosterior(data, space)
        >>> q(torch.zeros(7, 3), None).mean.shape
        torch.Size([7, 2, 5])
    """

    distribution = Categorical
    requires = frozenset({"prior.one_hot"})

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

    def of(self, parameters: Tensor) -> Categorical:
        return Categorical(parameters, self.event_dims)
