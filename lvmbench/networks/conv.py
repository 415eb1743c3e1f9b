"""Convolutions: from an image down, or up to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import silu

from lvmbench.errors import Refusal

IMAGE = 3
"""An image has three dimensions: channels, rows and columns."""
CHANNELS = 8
"""A convolution has the hidden width divided by this as channels,
so that it costs about what a full layer does.
"""


class Conv(nn.Module):
    """Convolutions, each halving rows and columns, from an image.

    Or transposed ones, each doubling them, to an image.

    Where the source is an image ``(C, H, W)``, a linear map of the last convolution's output follows; else
    the target must be one, or several, ``(..., C, H, W)``, and a linear map comes first. Raises `Refusal`
    where neither side is an image.

    References:
        Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks (Radford,
        Metz, Chintala, 2016), https://arxiv.org/abs/1511.06434
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__()
        if max(len(source), len(target)) < IMAGE:
            raise Refusal(
                f"network 'conv' is for images of shape (channels, rows, columns), and maps {source} to "
                f"{target} here; take network=mlp or network=residual"
            )
        width = max(hidden // CHANNELS, 1)
        down = len(source) >= IMAGE
        self.body = _Down(source, target, width, layers) if down else _Up(source, target, width, layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class _Down(nn.Module):
    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], width: int, layers: int) -> None:
        super().__init__()
        *channels, rows, columns = source
        self.image, self.target = (math.prod(channels), rows, columns), target
        sizes = _halved(rows, columns, layers)
        widths = _widths(self.image[0], width, layers)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.last = nn.Linear(widths[-1] * math.prod(sizes[-1]), math.prod(target))
        self.dims = len(source)

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[: -self.dims]
        h = x.reshape(-1, *self.image)
        for convolution in self.convolutions:
            h = silu(convolution(h))
        out: Tensor = self.last(h.flatten(1)).reshape(*lead, *self.target)
        return out


class _Up(nn.Module):
    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], width: int, layers: int) -> None:
        super().__init__()
        *channels, rows, columns = target
        self.source, self.target = source, target
        sizes = _halved(rows, columns, layers)[::-1]
        widths = _widths(math.prod(channels), width, layers)[::-1]
        self.start = (widths[0], *sizes[0])
        self.first = nn.Linear(math.prod(source), math.prod(self.start))
        self.convolutions = nn.ModuleList(
            # a size that was odd is met again by leaving out the last row or column
            nn.ConvTranspose2d(a, b, 3, 2, padding=1, output_padding=(1 - high % 2, 1 - wide % 2))
            for (a, b), (high, wide) in zip(pairwise(widths), sizes[1:], strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        lead = z.shape[: -len(self.source)]
        h = self.first(z.reshape(-1, math.prod(self.source))).reshape(-1, *self.start)
        for convolution in self.convolutions:
            h = convolution(silu(h))
        out: Tensor = h.reshape(*lead, *self.target)
        return out


def _halved(rows: int, columns: int, times: int) -> list[tuple[int, int]]:
    """The size of an image, and of each image after it."""
    sizes = [(rows, columns)]
    for _ in range(times):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def _widths(channels: int, width: int, layers: int) -> Sequence[int]:
    """The channels of the image, and of each after it: twice as many each time."""
    return [channels, *(width * 2**layer for layer in range(layers))]
