"""The DRAW decoder: a canvas that is painted step by step."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from lvmbench import (
    Bernoulli,
    Canvas,
    CanvasDecoder,
    Count,
    DataSummary,
    LatentSpace,
    Matched,
    Size,
    canvas_word,
)
from lvmbench.networks.attention import Attention
from lvmbench.networks.recurrent import Lstm


@final
class DrawDecoder(CanvasDecoder):
    r"""Independent binary pixels whose logits are what a recurrent network has painted after all steps.

    .. math:: h_t = \operatorname{LSTM}(h_{t-1}, z_t), \quad c_t = c_{t-1} + \operatorname{write}(h_t), \quad
        p(x|z) = \prod_d \operatorname{Bernoulli}(x_d; \operatorname{sigmoid}(c_{T,d}))

    where z is :math:`z_1, \dots, z_T` side by side, and :math:`c_0` starts at the training mean. What is
    written is linear in :math:`h_t`: the whole image, or a patch where an attention of Gaussian filters, from
    :math:`h_t` as well, places it.

    References:
        DRAW: A Recurrent Neural Network For Image Generation (Gregor, Danihelka, Graves, Rezende, Wierstra,
        2015), https://arxiv.org/abs/1502.04623

    Arguments:
        steps: The number of steps :math:`T`, among which the latents are shared out; where it is not given,
            the most up to 10 that come out even.
        hidden: The size of :math:`h`.
        patch: The side of the patch that is written at a step; the whole image is where it is 0.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data = DataSummary((1, 8, 8), "binary", torch.zeros(1, 8, 8))
        >>> p = DrawDecoder(data, LatentSpace((6,)), steps=3)
        >>> p(torch.zeros(5, 7, 6)).log_prob(torch.ones(7, 1, 8, 8)).shape
        torch.Size([5, 7])
    """

    distribution = Bernoulli
    requires = frozenset({"dataset.binary", "dataset.image"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        steps: Count | None = None,
        hidden: Matched = 128,
        patch: Size = 0,
    ) -> None:
        super().__init__()
        rows, columns = data.plane("draw")
        self.sizes = space.shares("draw", steps)
        self.provides = frozenset({"canvas", canvas_word(len(self.sizes), hidden)})
        self.cell = Lstm(self.sizes[:1], hidden)
        self.write = _Patch(hidden, patch, rows, columns) if patch else _Whole(hidden, rows, columns)
        self.state = nn.Parameter(torch.zeros(2, hidden))
        self.offset = nn.Parameter(data.mean.clamp(0.01, 0.99).logit())

    def blank(self) -> Canvas:
        return Canvas(self.offset, *self.state)

    def paint(self, canvas: Canvas, z: Tensor) -> Canvas:
        hidden, memory = self.cell((z,), canvas.hidden, canvas.memory)
        return Canvas(canvas.image + self.write(hidden).unsqueeze(-3), hidden, memory)

    def forward(self, z: Tensor) -> Bernoulli:
        canvas = self.blank()
        for step in z.split(self.sizes, -1):
            canvas = self.paint(canvas, step)
        return Bernoulli(canvas.image, 3)


class _Whole(nn.Module):
    """An image that is linear in a state."""

    def __init__(self, hidden: int, rows: int, columns: int) -> None:
        super().__init__()
        self.shape = rows, columns
        self.linear = nn.Linear(hidden, math.prod(self.shape))

    def forward(self, hidden: Tensor) -> Tensor:
        image: Tensor = self.linear(hidden).unflatten(-1, self.shape)
        return image


class _Patch(nn.Module):
    """An image that has a patch, linear in a state, where the state says."""

    def __init__(self, hidden: int, size: int, rows: int, columns: int) -> None:
        super().__init__()
        self.patch = _Whole(hidden, size, size)
        self.attention = Attention(hidden, size, rows, columns)

    def forward(self, hidden: Tensor) -> Tensor:
        image: Tensor = self.attention(hidden).write(self.patch(hidden))
        return image
