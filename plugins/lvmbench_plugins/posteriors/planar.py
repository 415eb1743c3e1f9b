"""The planar flow."""

from __future__ import annotations

import math
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lvmbench import Amortized, Count, DataSummary, Flow, LatentSpace, Size
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._flows import TINY, UNIT, Encoder


@final
class Planar(Amortized):
    r"""A normal pushed along planes, each datum's own.

    .. math:: z_t = z_{t-1} + \hat u \tanh(w^\top z_{t-1} + b), \qquad
        \hat u = u + (m(w^\top u) - w^\top u) \frac{w}{\|w\|^2}, \qquad m(a) = -1 + \log(1 + (e - 1) e^a)

    As :math:`w^\top \hat u = m(w^\top u) > -1`, every step is invertible; :math:`m` is that of the paper, moved so that a
    step with :math:`u = 0` is the identity.

    References:
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015), https://arxiv.org/abs/1505.05770

    Arguments:
        layers: The number of steps :math:`T`.
        network: The body of :math:`\mu`, :math:`\log\sigma` and each step's :math:`u, w, b`.
        hidden: The width of its hidden layers.
        depth: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace, Stream
        >>> q = Planar(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 2])
    """

    version = 2
    distribution = Flow
    requires = frozenset({"prior.real"})
    network: Encoder

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        layers: Count = 8,
        network: Network = "mlp",
        hidden: Count = 128,
        depth: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.space, size = space, math.prod(space.event_shape)
        self.shape, self.sizes = (layers, 2 * size + 1), (size, size, 1)
        self.network = Encoder(
            network, data, space, math.prod(self.shape), hidden=hidden, layers=depth, mask=mask
        )
        self.network.calm(torch.arange(math.prod(self.shape)).view(self.shape)[:, :size].flatten())  # u

    def of(self, parameters: Tensor) -> Flow:
        base, flat = self.network.split(parameters)
        steps = flat.unflatten(-1, self.shape).unbind(-2)
        return Flow(
            base, [partial(_step, *step.split(self.sizes, -1)) for step in steps], self.space.event_shape
        )


def _step(u: Tensor, w: Tensor, b: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The step of each datum, for parameters ``(B, D)``, ``(B, D)`` and ``(B, 1)``."""
    along = (w * u).sum(-1, keepdim=True)
    slope = softplus(along + UNIT)  # 1 + w'u after the correction
    u = u + (slope - 1 - along) * w / (w.square().sum(-1, keepdim=True) + TINY)
    h = ((w * z).sum(-1, keepdim=True) + b).tanh()
    # 1 + (1 - h^2) w'u as a sum of positive terms
    return z + u * h, (h**2 + (1 - h**2) * slope).log().squeeze(-1)
