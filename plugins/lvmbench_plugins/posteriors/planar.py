"""The planar flow."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, Flow, LatentSpace, Size
from lvmbench.kernels.planar import PlanarMap
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._flows import Encoder


@final
class Planar(Amortized):
    r"""A normal pushed along planes, each datum's own.

    .. math:: z_t = z_{t-1} + \hat u \tanh(w^\top z_{t-1} + b), \qquad
        \hat u = u + (m(w^\top u) - w^\top u) \frac{w}{\|w\|^2}, \qquad m(a) = -1 + \log(1 + (e - 1) e^a)

    As :math:`w^\top \hat u = m(w^\top u) > -1`, every step is invertible; :math:`m` is that of the paper,
    moved so that a step with :math:`u = 0` is the identity.

    References:
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015),
        https://arxiv.org/abs/1505.05770

    Arguments:
        flows: The number of steps :math:`T`.
        network: The body of :math:`\mu`, :math:`\log\sigma` and each step's :math:`u, w, b`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace, Stream
        >>> q = Planar(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 2])
    """

    version = 3
    distribution = Flow
    requires = frozenset({"prior.real"})
    network: Encoder

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        flows: Count = 8,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.space, size = space, math.prod(space.event_shape)
        self.shape, self.sizes = (flows, 2 * size + 1), (size, size, 1)
        self.network = Encoder(
            network, data, space, math.prod(self.shape), hidden=hidden, layers=layers, mask=mask
        )
        self.network.calm(torch.arange(math.prod(self.shape)).view(self.shape)[:, :size].flatten())  # u

    def of(self, parameters: Tensor) -> Flow:
        base, flat = self.network.split(parameters)
        steps = flat.unflatten(-1, self.shape).unbind(-2)
        maps = [PlanarMap(*step.split(self.sizes, -1)) for step in steps]
        return Flow(base, maps, self.space.event_shape)
