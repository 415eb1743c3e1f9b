"""The amortised mixture of normals."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, DiagonalNormal, LatentSpace, Mixture, Size
from lvmbench.kernels.sticks import log_stick_weights
from lvmbench.networks import Mask, Network, encoder


@final
class Dlgmm(Amortized):
    r"""An amortised mixture of normals, whose weights are those of a stick that x breaks.

    .. math:: q(z|x) = \sum_c \pi_c(x)\, N(z; \mu_c(x), \operatorname{diag} \sigma_c^2(x)), \qquad
        \pi_c = v_c(x) \prod_{j < c} (1 - v_j(x))

    The fractions begin at :math:`v_c = 1 / (C - c + 1)`, from which the weights are equal. Samples of the
    mixture carry no gradients to the weights; `stratified` draws from each component instead, and `score`
    needs no path.

    References:
        Approximate Inference for Deep Latent Gaussian Mixtures (Nalisnick, Hertel, Smyth, 2016),
        http://bayesiandeeplearning.org/2016/papers/BDL_20.pdf

    Arguments:
        components: The number of components :math:`C`; one is the posterior `gaussian`.
        network: The body of :math:`v`, :math:`\mu` and :math:`\log\sigma`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Dlgmm(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), components=4)
        >>> q(torch.zeros(7, 3), None).assign(torch.zeros(5, 7, 2)).shape
        torch.Size([5, 7, 4])
    """

    distribution = Mixture[DiagonalNormal]
    requires = frozenset({"prior.real"})
    equal: Tensor

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        components: Count = 5,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.shape = (2, components, *space.event_shape)
        size = math.prod(self.shape) + components - 1
        self.network = encoder(network, data, (size,), hidden=hidden, layers=layers, mask=mask)
        # the logit of 1 / (n + 1) is -log n
        pieces_left = torch.arange(components - 1, 0, -1)
        self.register_buffer("equal", -pieces_left.log(), persistent=False)

    def of(self, parameters: Tensor) -> Mixture[DiagonalNormal]:
        normals, fractions = parameters.split([math.prod(self.shape), len(self.equal)], -1)
        loc, log_scale = normals.unflatten(-1, self.shape).unbind(-len(self.shape))
        event_dims = len(self.shape) - 2
        weights = log_stick_weights(fractions + self.equal)
        return Mixture(weights, DiagonalNormal(loc, log_scale, event_dims), event_dims)
