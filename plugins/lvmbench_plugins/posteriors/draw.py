"""The DRAW posterior: it sees what is still wrong with the canvas before each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast, final

import torch
from torch import Tensor, nn

from lvmbench import (
    Canvas,
    CanvasDecoder,
    Count,
    DataSummary,
    DiagonalNormal,
    LatentSpace,
    Matched,
    Posterior,
    Recurrent,
    Refusal,
    Size,
    canvas_word,
    observed,
)
from lvmbench.networks.attention import Attention
from lvmbench.networks.recurrent import Lstm

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


class _State(NamedTuple):
    """The decoder's canvas, and the state of the encoder."""

    canvas: Canvas
    hidden: Tensor
    memory: Tensor


@final
class Draw(Posterior):
    r"""Normals step by step, each from the image, and from how the decoder's canvas differs from it by then.

    .. math:: e_t = \operatorname{LSTM}(e_{t-1}, \operatorname{read}(x, \hat x_t), h_{t-1}), \qquad
        \hat x_t = x - \operatorname{sigmoid}(c_{t-1}), \qquad
        q(z_t | x, z_{<t}) = N(z_t; \mu(e_t), \operatorname{diag} \sigma^2(e_t))

    where :math:`h` and :math:`c` are the state and the canvas of the decoder, which these steps paint; both
    are functions of the steps of z before, so the density of any z is known. What is read is both images, or
    what an attention of Gaussian filters, placed by :math:`h_{t-1}`, sees of them. It works with a decoder
    that has a canvas with as many steps and states of the same size.

    References:
        DRAW: A Recurrent Neural Network For Image Generation (Gregor, Danihelka, Graves, Rezende, Wierstra,
        2015), https://arxiv.org/abs/1502.04623

    Arguments:
        steps: The number of steps, that of the decoder; where it is not given, the most up to 10 among which
            the latents can be shared out even.
        hidden: The size of :math:`h`, that of the decoder, and of :math:`e`.
        patch: How many filters there are along each side of what is read; the whole images are where it is 0.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Draw(DataSummary((1, 8, 8), "binary", torch.zeros(1, 8, 8)), LatentSpace((6,)), steps=3)
        >>> sorted(q.requires)
        ['dataset.image', 'decoder.canvas', 'decoder.canvas[steps=3,hidden=128]', 'prior.real']
    """

    distribution = Recurrent
    provides = frozenset({"reads_model"})
    requires = frozenset({"dataset.image", "prior.real", "decoder.canvas"})
    mean: Tensor

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
        if space.layers:
            raise Refusal(
                "draw is over the latents that the decoder reads; of layers it reads the first alone"
            )
        rows, columns = data.plane("draw")
        self.complete, self.sizes = data.complete, space.shares("draw", steps)
        self.requires = self.requires | {f"decoder.{canvas_word(len(self.sizes), hidden)}"}
        self.register_buffer("mean", data.mean.clone(), persistent=False)
        self.attention = Attention(hidden, patch, rows, columns) if patch else None
        seen = patch**2 if patch else math.prod(data.event_shape)
        self.cell = Lstm((seen, seen, hidden), hidden)
        self.state = nn.Parameter(torch.zeros(2, hidden))
        self.last = nn.Linear(hidden, 2 * self.sizes[0])

    def forward(self, x: Tensor, model: LatentVariableModel) -> Recurrent:
        decoder = cast(CanvasDecoder, model.decoder)
        values = x if self.complete else observed(x, self.mean)[0]

        def step(state: _State) -> tuple[DiagonalNormal, Callable[[Tensor], _State]]:
            hidden, memory = self.cell(self._read(values, state.canvas), state.hidden, state.memory)
            q = DiagonalNormal.of(self.last(hidden).unflatten(-1, (2, -1)))
            return q, lambda z: _State(decoder.paint(state.canvas, z), hidden, memory)

        return Recurrent(_State(decoder.blank(), *self.state), step, self.sizes)

    def _read(self, x: Tensor, canvas: Canvas) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen of the image and of the error, and the decoder's state."""
        images = x.squeeze(-3), (x - canvas.image.sigmoid()).squeeze(-3)
        if self.attention is not None:
            glimpse = self.attention(canvas.hidden)
            images = glimpse.read(images[0]), glimpse.read(images[1])
        return images[0].flatten(-2), images[1].flatten(-2), canvas.hidden
