"""Fully connected layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu, silu


class MLP(nn.Module):
    """Fully connected layers with SiLU between them."""

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__()
        self.source, self.target = source, target
        sizes = [math.prod(source), *[hidden] * layers, math.prod(target)]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def activation(self, h: Tensor) -> Tensor:
        """What stands between the layers."""
        return silu(h)

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.linears  # as slices would be modules made anew
        h = x.flatten(-len(self.source))
        for linear in inner:
            h = self.activation(linear(h))
        out: Tensor = last(h).unflatten(-1, self.target)
        return out


class TanhMLP(MLP):
    """Fully connected layers with tanh between them, from the weights that suit it.

    References:
        Understanding the difficulty of training deep feedforward neural networks (Glorot, Bengio, 2010),
        https://proceedings.mlr.press/v9/glorot10a.html
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__(source, target, hidden=hidden, layers=layers)
        _start(self, nn.init.xavier_uniform_)

    def activation(self, h: Tensor) -> Tensor:
        return h.tanh()


class ReluMLP(MLP):
    """Fully connected layers with rectified linear units between them, from the weights that suit them.

    References:
        Delving Deep into Rectifiers (He, Zhang, Ren, Sun, 2015), https://arxiv.org/abs/1502.01852
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__(source, target, hidden=hidden, layers=layers)
        _start(self, nn.init.kaiming_normal_)

    def activation(self, h: Tensor) -> Tensor:
        return relu(h)


class LeakyReluMLP(ReluMLP):
    """As with rectified linear units, which let a hundredth of what is below zero pass."""

    def activation(self, h: Tensor) -> Tensor:
        return leaky_relu(h, 0.01)


class GatedMLP(nn.Module):
    r"""Fully connected layers, each of whose outputs another layer lets pass or not.

    .. math:: h_{l+1} = (W_l h_l + b_l) \odot \operatorname{sigmoid}(V_l h_l + c_l)

    References:
        Language Modeling with Gated Convolutional Networks (Dauphin, Fan, Auli, Grangier, 2017),
        https://arxiv.org/abs/1612.08083
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__()
        self.source, self.target = source, target
        sizes = [math.prod(source), *[hidden] * layers]
        self.gated = nn.ModuleList(nn.Linear(a, 2 * b) for a, b in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], math.prod(target))
        _start(self, nn.init.kaiming_normal_)

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(-len(self.source))
        for layer in self.gated:
            h = nn.functional.glu(layer(h))
        out: Tensor = self.last(h).unflatten(-1, self.target)
        return out


def _start(body: nn.Module, weights: Callable[[Tensor], Tensor]) -> None:
    """Give every matrix its first values, and set every offset to 0."""
    for layer in body.modules():
        if isinstance(layer, nn.Linear):
            weights(layer.weight)
            nn.init.zeros_(layer.bias)
