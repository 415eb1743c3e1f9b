"""A body that reads data of which not all was observed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lvmbench.observation import observed


class Partial(nn.Module):
    """A body that is given the training mean where nothing was observed,
    and with ``mask`` also which values were.

    The mask stands beside the values as another channel: the body reads events of shape ``(2, *x)`` then.
    """

    mean: Tensor

    def __init__(self, body: nn.Module, mean: Tensor, *, mask: bool) -> None:
        super().__init__()
        self.body, self.mask = body, mask
        self.register_buffer("mean", mean.clone())

    def forward(self, x: Tensor) -> Tensor:
        values, seen = observed(x, self.mean)
        if self.mask:
            values = torch.stack([values, seen.to(values.dtype)], -1 - self.mean.dim())
        out: Tensor = self.body(values)
        return out
