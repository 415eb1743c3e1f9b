"""The coupling flow."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor, nn

from lvmbench import Amortized, Count, DataSummary, InvertibleFlow, LatentSpace, Refusal, Size
from lvmbench.kernels.flows import CouplingStep, affine, pushed
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._flows import Encoder


@final
class Coupling(Amortized):
    r"""A normal whose one half of the coordinates is scaled and moved as the other half says, by turns.

    .. math:: z_t^a = z_{t-1}^a, \qquad z_t^b = \exp(s_t) \odot z_{t-1}^b + m_t

    where :math:`m_t, s_t` depend on :math:`z_{t-1}^a` and on a context of x; the halves change places from
    step to step.

    References:
        Density Estimation Using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017),
        https://arxiv.org/abs/1605.08803

    Arguments:
        flows: The number of steps :math:`T`.
        context: The size of the context.
        network: The body of :math:`\mu`, :math:`\log\sigma` and the context.
        hidden: The width of its hidden layers, and of the two of each step's network.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Coupling(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).log_prob(torch.zeros(5, 7, 2)).shape
        torch.Size([5, 7])
    """

    version = 3
    distribution = InvertibleFlow
    requires = frozenset({"prior.real"})
    network: Encoder

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        flows: Count = 4,
        context: Count = 32,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.event_shape, size = space.event_shape, math.prod(space.event_shape)
        if size < 2:
            raise Refusal("coupling splits the latents in two halves; a single latent has none")
        self.network = Encoder(network, data, space, context, hidden=hidden, layers=layers, mask=mask)
        self.steps = nn.ModuleList(
            CouplingStep(size, 2, context=context, hidden=hidden, backwards=t % 2 == 1) for t in range(flows)
        )

    def of(self, parameters: Tensor) -> InvertibleFlow:
        base, h = self.network.split(parameters)
        return pushed(base, [step(h, affine) for step in self.steps], self.event_shape)
