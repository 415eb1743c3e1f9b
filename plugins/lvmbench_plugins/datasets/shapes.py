"""Generated images of shapes, whose causes are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor

from lvmbench import Count, Data, Dataset, Size, Split, UserError, generator
from lvmbench.data.remarks import row_keys

FACTORS = ("shape", "scale", "orientation", "x", "y")

_FINE = 4  # points along the side of a pixel
_WHITE = _FINE**2
_CHUNK = 128  # images drawn at once
_TRIANGLE = tuple((math.cos(a), math.sin(a)) for a in (math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6))


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) <= math.sqrt(0.5)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    return u**2 + (2 * v) ** 2 <= 1


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    inside = [a * u + b * v >= -0.5 for a, b in _TRIANGLE]
    return inside[0] & inside[1] & inside[2]


SHAPES: tuple[tuple[Callable[[Tensor, Tensor], Tensor], float], ...] = (
    (_square, math.pi / 2),
    (_ellipse, math.pi),
    (_triangle, math.pi * 2 / 3),
)
"""Square, ellipse and triangle within the unit circle,
and the angle after which each looks the same again.
"""


@final
class Shapes(Dataset):
    r"""Images of a square, an ellipse or a triangle, one for each shape, scale, orientation and position.

    .. math:: x_d = [g_d > \tfrac12], \qquad g_d = \text{share of pixel } d \text{ that the shape covers}

    The factors are independent and uniform, and the shape is the label. Orientation :math:`k` of :math:`O`
    turns a shape by :math:`k / O` of the angle after which it looks the same again (a square: 90 degrees, an
    ellipse: 180, a triangle: 120), so that no two orientations coincide. Where two combinations give the same
    pixels all the same, which takes many orientations or scales on few pixels, only the first is kept. The
    images are dealt out to the splits at random: 70% training, 10% validation and the rest test.

    References:
        dSprites: Disentanglement Testing Sprites Dataset (Matthey, Higgins, Hassabis, Lerchner, 2017),
        https://github.com/google-deepmind/dsprites-dataset (the idea; images and factors are other ones)

    Arguments:
        size: The pixels along each side.
        scales: The number of scales, from 0.6 to 1 times the largest radius, a quarter of ``size``.
        orientations: The number of orientations :math:`O`.
        positions: The number of positions along each axis.
        binarize: ``threshold`` at half coverage, or ``none``: the coverage from 0 to 1.
        seed: What deals out the images to the splits.

    Example:
        >>> data = Shapes(positions=3).load()
        >>> data.factor_names, data.splits["train"].factors.shape
        (('shape', 'scale', 'orientation', 'x', 'y'), torch.Size([378, 5]))
    """

    def __init__(
        self,
        *,
        size: Count = 16,
        scales: Count = 3,
        orientations: Count = 8,
        positions: Count = 8,
        binarize: Literal["threshold", "none"] = "threshold",
        seed: Size = 0,
    ) -> None:
        self.size, self.binarize, self.seed = size, binarize, seed
        self.counts = (len(SHAPES), scales, orientations, positions, positions)

    def load(self) -> Data:
        factors = torch.cartesian_prod(*map(torch.arange, self.counts))
        images = torch.cat([self._draw(rows) for rows in factors.split(_CHUNK)])
        if self.binarize == "threshold":
            images = (2 * images > _WHITE).to(torch.uint8)
        kept = _first_of_each(images)
        order = kept[torch.randperm(len(kept), generator=generator(self.seed, "shapes", "split"))]
        scale = 1.0 if self.binarize == "threshold" else 1 / _WHITE
        splits = {
            name: Split(images[rows], factors[rows, 0], scale, factors[rows])
            for name, rows in self._parts(order).items()
        }
        support: Literal["binary", "unit"] = "binary" if self.binarize == "threshold" else "unit"
        return Data(
            splits,
            support,
            "generated: free of any terms",
            provides=frozenset({"image"}),
            factor_names=FACTORS,
        )

    def _parts(self, order: Tensor) -> dict[str, Tensor]:
        train, validation = len(order) * 7 // 10, len(order) // 10
        if not validation:
            raise UserError(
                f"shapes makes {len(order)} different images; at least 10 are needed: raise positions"
            )
        parts = order.split([train, validation, len(order) - train - validation])
        return dict(zip(("train", "validation", "test"), parts, strict=True))

    def _draw(self, factors: Tensor) -> Tensor:
        """The covered points of each pixel, ``(N, 1, size, size)``."""
        at = (torch.arange(self.size * _FINE, dtype=torch.float64) + 0.5) / _FINE
        radius = self.size / 4 * _grid(factors[:, 1], self.counts[1], 0.6, 1.0)
        x, y = (
            self.size * _grid(factors[:, axis], count, 0.25, 0.75)
            for axis, count in ((3, self.counts[3]), (4, self.counts[4]))
        )
        periods = torch.tensor([period for _, period in SHAPES], dtype=torch.float64)
        angle = factors[:, 2] / self.counts[2] * periods[factors[:, 0]]
        across = ((at - x[:, None]) / radius[:, None])[:, None, :]  # (N, 1, W)
        down = ((at - y[:, None]) / radius[:, None])[:, :, None]  # (N, H, 1)
        cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
        u, v = across * cos + down * sin, down * cos - across * sin
        inside = torch.empty(u.shape, dtype=torch.bool)
        for kind, (covers, _) in enumerate(SHAPES):
            rows = factors[:, 0] == kind
            inside[rows] = covers(u[rows], v[rows])
        fine: Tensor = inside.unflatten(1, (self.size, _FINE)).unflatten(3, (self.size, _FINE))
        return fine.sum((2, 4)).to(torch.uint8).unsqueeze(1)


def _grid(index: Tensor, count: int, low: float, high: float) -> Tensor:
    """The values of a factor, evenly spread; a single one is the largest."""
    steps = torch.linspace(high, low, count, dtype=torch.float64).flip(0)
    values: Tensor = steps[index]
    return values


def _first_of_each(images: Tensor) -> Tensor:
    """The indices of images that no image before is equal to."""
    first: dict[bytes, int] = {}
    for index, key in enumerate(row_keys(images)):
        first.setdefault(key, index)
    return torch.tensor(list(first.values()))
