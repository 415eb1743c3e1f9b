"""Fully connected layers."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Fully connected layers with SiLU between them."""

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__()
        self.source, self.target = source, target
        sizes = [math.prod(source), *[hidden] * layers, math.prod(target)]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(-len(self.source))
        for linear in self.linears[:-1]:
            h = nn.functional.silu(linear(h))
        out: Tensor = self.linears[-1](h).unflatten(-1, self.target)
        return out
