"""Fully connected blocks with a way around each."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import silu


class Residual(nn.Module):
    r"""Fully connected blocks that are each added to what they are given.

    .. math:: h_{l+1} = h_l + W'_l \operatorname{silu}(W_l \operatorname{silu}(h_l))

    between a first and a last linear map; the second matrix of each block is small at the start.

    References:
        Identity Mappings in Deep Residual Networks (He, Zhang, Ren, Sun, 2016), https://arxiv.org/abs/1603.05027
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__()
        self.source, self.target = source, target
        self.first = nn.Linear(math.prod(source), hidden)
        self.blocks = nn.ModuleList(_Block(hidden) for _ in range(layers))
        self.last = nn.Linear(hidden, math.prod(target))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x.flatten(-len(self.source)))
        for block in self.blocks:
            h = h + block(h)
        out: Tensor = self.last(silu(h)).unflatten(-1, self.target)
        return out


class _Block(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        for weight in self.second.parameters():
            nn.init.uniform_(weight, -1e-3, 1e-3)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.second(silu(self.first(silu(h))))
        return out
