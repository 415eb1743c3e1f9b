"""A normalizing flow as prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform

from lvmbench import Count, DataSummary, DiagonalNormal, InvertibleFlow, LatentSpace, Positive, Prior, Refusal
from lvmbench.kernels.flows import Change, CouplingStep, Splines, affine, pushed

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class FlowPrior(Prior):
    r"""A normal pushed through coupling steps, then scaled and moved.

    .. math:: z = \mu + \sigma \odot f_T(\dots f_1(\varepsilon)), \qquad \varepsilon \sim N(0, I)

    Each :math:`f_t` keeps one half of the coordinates and changes the other as the kept one says: it scales
    and moves each coordinate, or bends it by a rational-quadratic spline within :math:`[-B, B]`. The halves
    change places from step to step. Sampling and density both take one pass of each step's network.

    References:
        Density Estimation Using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017),
        https://arxiv.org/abs/1605.08803;
        Neural Spline Flows (Durkan et al., 2019), https://arxiv.org/abs/1906.04032

    Arguments:
        flows: The number of steps :math:`T`.
        form: ``affine`` or ``spline``.
        bins: The number of bins of a spline.
        bound: The end :math:`B` of the splines.
        hidden: The width of the two hidden layers of each step's network.

    Example:
        >>> from lvmbench import DataSummary
        >>> prior = FlowPrior(DataSummary((3,), "real", torch.zeros(3)), 2)
        >>> prior(None).log_prob(torch.zeros(5, 7, 2)).shape
        torch.Size([5, 7])
    """

    distribution = InvertibleFlow
    zeros: Tensor

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        flows: Count = 4,
        form: Literal["affine", "spline"] = "affine",
        bins: Count = 8,
        bound: Positive = 5.0,
        hidden: Count = 128,
    ) -> None:
        super().__init__()
        if latent < 2:
            raise Refusal(
                "prior 'flow' splits the latents in two halves; a single latent has none: take a latent size "
                "of at least 2"
            )
        splines = Splines(bins, bound)
        self.element, outputs = (splines, splines.outputs) if form == "spline" else (affine, 2)
        self.steps = nn.ModuleList(
            CouplingStep(latent, outputs, hidden=hidden, backwards=t % 2 == 1) for t in range(flows)
        )
        self.loc, self.log_scale = nn.Parameter(torch.zeros(latent)), nn.Parameter(torch.zeros(latent))
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.zeros.shape[-1:]))

    def forward(self, model: LatentVariableModel) -> InvertibleFlow:
        changed = [step(None, self.element) for step in self.steps]
        # splines bend what lies within the bound, which is in units of the base: location and scale come last
        scaled = AffineTransform(self.loc, self.log_scale.exp(), event_dim=1)
        base = DiagonalNormal(self.zeros, self.zeros)
        return pushed(base, [*changed, Change.by(scaled)], self.space.event_shape)
