"""The inverse autoregressive flow."""

from __future__ import annotations

import math
from typing import Literal, final

from torch import Tensor, nn
from torch.distributions import AffineTransform, Transform

from lvmbench import Amortized, Count, DataSummary, InvertibleFlow, LatentSpace, Size
from lvmbench.kernels.flows import AutoregressiveStep, affine, pushed
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._flows import Encoder

OPEN = 2.0
"""Added to the argument of each gate, so that at the start most of z passes."""
LEAST = 1e-3
"""What always passes a gate, so that no step loses a coordinate to rounding."""
FIRST = LEAST + (1 - LEAST) / (1 + math.exp(-OPEN))
"""A gate at the start."""


@final
class Iaf(Amortized):
    r"""A normal whose coordinates are changed step by step as the ones before them say, all of them at once.

    .. math:: z_t = \frac{\sigma_t \odot z_{t-1} + (1 - \sigma_t) \odot m_t}{\sigma_0}, \quad
        \sigma_t = \operatorname{sigmoid}(s_t + 2), \quad \sigma_0 = \operatorname{sigmoid}(2)
        \quad \text{(gated)}; \qquad z_t = \sigma_t \odot z_{t-1} + m_t, \quad \sigma_t = \exp(s_t)
        \quad \text{(affine)}

    where coordinate :math:`i` of :math:`m_t, s_t` depends on a context of x and on the coordinates of
    :math:`z_{t-1}` before :math:`i` only; the order is reversed from step to step. The paper has no
    :math:`\sigma_0`, and so begins with a q that each gate narrows to 0.88 of itself; here a step without
    strength is the identity. Every :math:`\sigma_t` is kept above 0.001. Sampling takes one pass of each
    step's network, and so does the density of another value, one coordinate after another.

    References:
        Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
        https://arxiv.org/abs/1606.04934;
        MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015),
        https://arxiv.org/abs/1502.03509

    Arguments:
        flows: The number of steps :math:`T`.
        form: ``gated`` or ``affine``.
        context: The size of the context.
        network: The body of :math:`\mu`, :math:`\log\sigma` and the context.
        hidden: The width of its hidden layers, and of the two of each step's network.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Iaf(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
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
        form: Literal["gated", "affine"] = "gated",
        context: Count = 32,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.event_shape, size = space.event_shape, math.prod(space.event_shape)
        self.element = {"gated": _gated, "affine": affine}[form]
        self.network = Encoder(network, data, space, context, hidden=hidden, layers=layers, mask=mask)
        self.steps = nn.ModuleList(
            AutoregressiveStep(size, 2, context=context, hidden=hidden, backwards=t % 2 == 1)
            for t in range(flows)
        )

    def of(self, parameters: Tensor) -> InvertibleFlow:
        base, h = self.network.split(parameters)
        return pushed(base, [step(h, self.element) for step in self.steps], self.event_shape)


def _gated(given: Tensor) -> Transform:
    m, s = given.unbind(-1)
    gate = LEAST + (1 - LEAST) * (s + OPEN).sigmoid()
    # over its first value, so that a step begins near the identity and not as a contraction
    return AffineTransform((1 - gate) * m / FIRST, gate / FIRST, event_dim=1)
