"""What the flow posteriors share: the normal that they start from, by a network of x."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lvmbench import DataSummary, DiagonalNormal, LatentSpace
from lvmbench.kernels.flows import NEAR
from lvmbench.networks import Network, encoder

UNIT = math.log(math.e - 1)
"""Where softplus is 1."""
TINY = 1e-30
"""Added to a squared length that is divided by."""


class Encoder(nn.Module):
    """The amortised diagonal normal that a flow starts from, and further figures for each datum."""

    def __init__(
        self,
        body: Network,
        data: DataSummary,
        space: LatentSpace,
        further: int,
        *,
        hidden: int,
        layers: int,
        mask: bool,
    ) -> None:
        super().__init__()
        size = math.prod(space.event_shape)
        self.sizes = [size, size, further]
        self.network = encoder(body, data, (sum(self.sizes),), hidden=hidden, layers=layers, mask=mask)

    def forward(self, x: Tensor) -> Tensor:
        parameters: Tensor = self.network(x)
        return parameters

    def calm(self, strengths: Tensor) -> None:
        """Make some of the further figures, by their places, near 0 at the start, whatever x is."""
        *_, last = (layer for layer in self.network.modules() if isinstance(layer, nn.Linear))
        with torch.no_grad():
            for weight in last.parameters():
                weight[-self.sizes[-1] :][strengths] *= NEAR

    def split(self, parameters: Tensor) -> tuple[DiagonalNormal, Tensor]:
        """The base, and the further figures ``(B, further)``."""
        loc, log_scale, further = parameters.split(self.sizes, -1)
        return DiagonalNormal(loc, log_scale), further
