"""The radial flow."""

from __future__ import annotations

import math
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lvmbench import Amortized, Count, DataSummary, Flow, LatentSpace, Size
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._flows import UNIT, Encoder


@final
class Radial(Amortized):
    r"""A normal drawn to points or pushed away from them, each datum's own.

    .. math:: z_t = z_{t-1} + \frac{\beta}{\alpha + r} (z_{t-1} - c), \qquad r = \|z_{t-1} - c\|, \quad
        \beta > -\alpha

    The network gives :math:`c`, :math:`\log\alpha` and :math:`b`, with
    :math:`\beta = \alpha \log(1 + (e - 1) e^b) - \alpha`, so that every step is invertible and one with
    :math:`b = 0` is the identity.

    References:
        Variational Inference with Normalizing Flows (Rezende, Mohamed, 2015),
        https://arxiv.org/abs/1505.05770

    Arguments:
        flows: The number of steps :math:`T`.
        network: The body of :math:`\mu`, :math:`\log\sigma` and each step's :math:`c, \log\alpha, b`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace, Stream
        >>> q = Radial(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
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
        self.shape, self.sizes = (flows, size + 2), (size, 1, 1)
        self.network = Encoder(
            network, data, space, math.prod(self.shape), hidden=hidden, layers=layers, mask=mask
        )
        self.network.calm(torch.arange(math.prod(self.shape)).view(self.shape)[:, -1])  # b

    def of(self, parameters: Tensor) -> Flow:
        base, flat = self.network.split(parameters)
        steps = flat.unflatten(-1, self.shape).unbind(-2)
        return Flow(
            base, [partial(_step, *step.split(self.sizes, -1)) for step in steps], self.space.event_shape
        )


def _step(c: Tensor, log_alpha: Tensor, b: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The step of each datum, for parameters ``(B, D)``, ``(B, 1)`` and ``(B, 1)``."""
    alpha, slope = log_alpha.exp(), softplus(b + UNIT)  # slope = 1 + beta / alpha
    r = torch.linalg.vector_norm(z - c, dim=-1, keepdim=True)
    near = alpha / (alpha + r)
    # the stretch across the radius and along it, each as a sum of positive terms
    across, radially = 1 - near + near * slope, 1 - near**2 + near**2 * slope
    # a sphere around c is stretched alike in all its D - 1 directions
    log_det = (z.shape[-1] - 1) * across.log() + radially.log()
    return z + near * (slope - 1) * (z - c), log_det.squeeze(-1)
