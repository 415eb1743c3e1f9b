"""Attention to a part of an image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

LIMIT = 8.0
"""How far from 1 scales may be, as logarithms: within what a float has room for."""


class Glimpse(NamedTuple):
    """A square grid of Gaussian filters on an image: those of its rows, ``(..., N, H)``,
    those of its columns, ``(..., N, W)``, and the log of the intensity, ``(...)``.
    """

    rows: Tensor
    columns: Tensor
    log_intensity: Tensor

    def read(self, image: Tensor) -> Tensor:
        """What the filters see of images ``(..., H, W)``, times the intensity, ``(..., N, N)``."""
        return self._scale(self.rows @ image @ self.columns.mT, 1)

    def write(self, patch: Tensor) -> Tensor:
        """The images ``(..., H, W)`` in which patches ``(..., N, N)`` are where the filters are,
        by the intensity less bright.
        """
        return self._scale(self.rows.mT @ patch @ self.columns, -1)

    def _scale(self, values: Tensor, sign: int) -> Tensor:
        return values * (sign * self.log_intensity).exp().unsqueeze(-1).unsqueeze(-1)


class Attention(nn.Module):
    r"""Where to look, from features: a grid of Gaussian filters whose middle, stride, width and intensity are
    linear in them.

    .. math:: F_{ia} = \frac{1}{Z_i} \exp\left(-\frac{(a - \mu_i)^2}{2 \sigma^2}\right), \qquad
        \mu_i = g + \left(i - \tfrac{N + 1}{2}\right) \delta

    for pixels :math:`a` and filters :math:`i`, both from 1 on, with :math:`Z_i` such that each filter adds up
    to 1. All features at 0 look at the whole image: its middle, and strides from edge to edge.

    References:
        DRAW: A Recurrent Neural Network For Image Generation (Gregor, Danihelka, Graves, Rezende, Wierstra,
        2015), https://arxiv.org/abs/1502.04623

    Arguments:
        features: The number of features.
        size: The number of filters along each side, :math:`N`.
        rows: The height of the image.
        columns: Its width.

    Example:
        >>> glimpse = Attention(16, 3, 28, 20)(torch.zeros(5, 7, 16))
        >>> glimpse.read(torch.zeros(7, 28, 20)).shape, glimpse.write(torch.zeros(5, 7, 3, 3)).shape
        (torch.Size([5, 7, 3, 3]), torch.Size([5, 7, 28, 20]))
    """

    def __init__(self, features: int, size: int, rows: int, columns: int) -> None:
        super().__init__()
        self.size, self.rows, self.columns = size, rows, columns
        self.place = nn.Linear(features, 5)

    def forward(self, features: Tensor) -> Glimpse:
        """The grid for features ``(..., F)``."""
        y, x, *logs = self.place(features).unbind(-1)
        log_variance, log_stride, log_intensity = (log.clamp(-LIMIT, LIMIT) for log in logs)
        stride = (max(self.rows, self.columns) - 1) / max(self.size - 1, 1) * log_stride.exp()
        rows = filters((self.rows + 1) / 2 * (y + 1), stride, log_variance, self.size, self.rows)
        columns = filters((self.columns + 1) / 2 * (x + 1), stride, log_variance, self.size, self.columns)
        return Glimpse(rows, columns, log_intensity)


def filters(middle: Tensor, stride: Tensor, log_variance: Tensor, size: int, length: int) -> Tensor:
    """So many filters over so many pixels, ``(..., N, length)``, for figures of shape ``(...)``."""
    offsets = torch.arange(size, device=middle.device) - (size - 1) / 2
    centres = middle.unsqueeze(-1) + offsets * stride.unsqueeze(-1)  # (..., N)
    pixels = torch.arange(1, length + 1, device=middle.device)
    squares = (pixels - centres.unsqueeze(-1)).square()
    # a softmax: far from every pixel the exponentials alone would all be rounded to 0
    return (-0.5 * squares * (-log_variance).exp().unsqueeze(-1).unsqueeze(-1)).softmax(-1)
