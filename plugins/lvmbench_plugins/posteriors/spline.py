"""The neural spline flow."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform

from lvmbench import (
    Amortized,
    Count,
    DataSummary,
    DiagonalNormal,
    InvertibleFlow,
    LatentSpace,
    Positive,
    Refusal,
    Size,
)
from lvmbench.kernels.flows import AutoregressiveStep, Change, CouplingStep, Splines, pushed
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors._flows import Encoder


@final
class Spline(Amortized):
    r"""A normal bent by rational-quadratic splines, coordinate by coordinate, then scaled and moved.

    .. math:: z = \mu + \sigma \odot f_T(\dots f_1(\varepsilon)), \qquad \varepsilon \sim N(0, I)

    Each :math:`f_t` bends within :math:`[-B, B]`, by splines whose knots depend on a context of x and, in the
    form ``coupling``, on the half of the coordinates that it keeps, in the form ``autoregressive``, on the
    coordinates before; halves and order change from step to step. Splines bend what is not yet scaled, so
    that their bins suit posteriors of any width.

    References:
        Neural Spline Flows (Durkan et al., 2019), https://arxiv.org/abs/1906.04032

    Arguments:
        flows: The number of steps :math:`T`.
        form: ``coupling`` or ``autoregressive``; a single latent needs the latter.
        bins: The number of bins of a spline.
        bound: The end :math:`B` of the splines.
        context: The size of the context.
        network: The body of :math:`\mu`, :math:`\log\sigma` and the context.
        hidden: The width of its hidden layers, and of the two of each step's network.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Spline(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
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
        form: Literal["coupling", "autoregressive"] = "coupling",
        bins: Count = 8,
        bound: Positive = 5.0,
        context: Count = 32,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.event_shape, size = space.event_shape, math.prod(space.event_shape)
        if size < 2 and form == "coupling":
            raise Refusal(
                "spline in the form 'coupling' splits the latents in two halves; a single latent has none: "
                "set form=autoregressive"
            )
        self.element = Splines(bins, bound)
        step = {"coupling": CouplingStep, "autoregressive": AutoregressiveStep}[form]
        self.network = Encoder(network, data, space, context, hidden=hidden, layers=layers, mask=mask)
        self.steps = nn.ModuleList(
            step(size, self.element.outputs, context=context, hidden=hidden, backwards=t % 2 == 1)
            for t in range(flows)
        )

    def of(self, parameters: Tensor) -> InvertibleFlow:
        q, h = self.network.split(parameters)
        # splines bend what lies within the bound, which is in units of the base: location and scale come last
        base = DiagonalNormal(torch.zeros_like(q.loc), torch.zeros_like(q.loc))
        bent = [step(h, self.element) for step in self.steps]
        scaled = AffineTransform(q.loc, q.log_scale.exp(), event_dim=1)
        return pushed(base, [*bent, Change.by(scaled)], self.event_shape)
