"""The PixelCNN decoder: each pixel given the ones before it and z."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, final

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from lvmbench import Bernoulli, Count, DataSummary, Decoder, Distribution, LatentSpace, Noise, Size
from lvmbench.networks import Network
from lvmbench.networks import network as build


def _is_odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("should be odd, so that a kernel has a middle")
    return size


Odd = Annotated[int, Field(ge=1), AfterValidator(_is_odd)]
"""An odd whole number of at least 1."""
TILE = 2**15
"""How many pixels, of all samples together, are given z at once on a CPU."""


class _RasterBernoulli(Distribution):
    r"""Binary images of one channel, pixel by pixel, row after row.

    .. math:: \log p(x) = \sum_i \log \operatorname{Bernoulli}(x_i; \operatorname{sigmoid}(\ell_i(x_{<i})))

    The log density of given images takes one pass, a draw a pass for each pixel, which reuses the last.

    Arguments:
        raster: What makes logits of the pixels before.
        maps: What else it is given at each pixel, ``(*batch, H, W, M)``.
    """

    traits = frozenset({"density"})
    support = "binary"

    def __init__(self, raster: _Raster, maps: Tensor) -> None:
        self.raster, self.maps = raster, maps

    def log_prob(self, value: Tensor) -> Tensor:
        image = value.squeeze(-3)
        return Bernoulli(self.raster(image, self.maps), 2).log_prob(image)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        uniforms = noise.uniform((samples, *self.maps.shape[:-1]))
        value = self.raster.draw(uniforms, self.maps).unsqueeze(-3)
        return value, self.log_prob(value)


@final
class PixelCnn(Decoder):
    r"""Binary pixels one after another, each given z and the pixels before it in a neighbourhood.

    .. math:: p(x|z) = \prod_i \operatorname{Bernoulli}(x_i;
        \operatorname{sigmoid}(\ell_i(x_{<i}, s(z)) + b_i))

    Two stacks of gated convolutions make :math:`\ell`: a vertical one, which reads the rows above, and a
    horizontal one, which reads the pixels to the left and the vertical stack; so there is no blind spot. A
    layer of the horizontal stack is

    .. math:: h_{l+1} = h_l + W_l \left[\tanh(a_l) \odot \operatorname{sigmoid}(b_l)\right], \qquad
        (a_l, b_l) = C_l * h_l + V_l v_{l+1} + U_l s(z)

    z enters as maps :math:`s(z)` of the size of the image. Where only the last layer is given them, all that
    comes before is a function of x alone, and is found once for all samples of z: log p(x) by importance
    sampling costs little more than a decoder of independent pixels. A small ``window`` leaves what is global
    to z. Pixels depend on each other: they have no means in closed form.

    References:
        Conditional Image Generation with PixelCNN Decoders (van den Oord, Kalchbrenner, Vinyals, Espeholt,
        Graves, Kavukcuoglu, 2016), https://arxiv.org/abs/1606.05328;
        PixelVAE (Gulrajani, Kumar, Ahmed, Taiga, Visin, Vazquez, Courville, 2017),
        https://arxiv.org/abs/1611.05013;
        Variational Lossy Autoencoder (Chen, Kingma, Salimans, Duan, Dhariwal, Schulman, Sutskever, Abbeel,
        2017), https://arxiv.org/abs/1611.02731

    Arguments:
        channels: The channels of each stack.
        layers: The number of layers of the stacks.
        kernel: The width of the kernels.
        window: The most rows or columns that a pixel looks away; as far as layers and kernel reach,
            ``1 + layers * (kernel // 2)``, where it is not given. Layers that would reach farther have
            kernels of width 1.
        conditional: Which layers are given :math:`s(z)`.
        maps: The number of maps in :math:`s(z)`.
        network: The body of :math:`s`.
        hidden: The width of its hidden layers.
        depth: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data = DataSummary((1, 8, 8), "binary", torch.zeros(1, 8, 8))
        >>> p = PixelCnn(data, LatentSpace((2,)), layers=2)
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 1, 8, 8)).shape
        torch.Size([5, 7])
    """

    distribution = _RasterBernoulli
    requires = frozenset({"dataset.binary", "dataset.image", "dataset.complete"})
    # a pack would have grouped convolutions, which took 1.7 times as long on a CPU
    vectorizable = False

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        channels: Count = 16,
        layers: Count = 4,
        kernel: Odd = 3,
        window: Count | None = None,
        conditional: Literal["last", "every"] = "last",
        maps: Count = 8,
        network: Network = "mlp",
        hidden: Count = 128,
        depth: Size = 2,
    ) -> None:
        super().__init__()
        rows, columns = data.plane("pixelcnn")
        self.network = build(network, space.event_shape, (maps, rows, columns), hidden=hidden, layers=depth)
        reaches = list(_reaches(layers, kernel // 2, window))
        given = layers if conditional == "every" else 1
        self.raster = _Raster(data.mean.squeeze(0), channels, reaches, maps, given)

    def forward(self, z: Tensor) -> _RasterBernoulli:
        return _RasterBernoulli(self.raster, self.network(z).movedim(-3, -1))


def _reaches(layers: int, reach: int, window: int | None) -> Iterator[int]:
    """How far each layer looks, so that together they look no farther than the window.

    The pixel beside is seen without any.
    """
    left = layers * reach if window is None else window - 1
    for _ in range(layers):
        yield min(reach, left)
        left -= min(reach, left)


class _Raster(nn.Module):
    """Logits of each pixel from the pixels before it, and from maps.

    Images are ``(..., H, W, C)`` inside: matrix products and convolutions are then several times as fast.

    Arguments:
        mean: The mean of the pixels, ``(H, W)``, from which the logits start.
        channels: The channels of each stack.
        reaches: How many pixels each layer looks away.
        maps: The number of maps.
        given: How many of the layers are given them, the last ones.
    """

    def __init__(self, mean: Tensor, channels: int, reaches: list[int], maps: int, given: int) -> None:
        super().__init__()
        sizes = zip([1, *[channels] * (len(reaches) - 1)], reaches, strict=True)
        self.layers: Sequence[_Layer] = nn.ModuleList(  # type: ignore[assignment]
            _Layer(*each, channels) for each in sizes
        )
        self.given = nn.ModuleList(nn.Linear(maps, 2 * channels) for _ in range(given))
        self.free = len(reaches) - given
        self.last = nn.Linear(channels, 1)
        self.offset = nn.Parameter(mean.clamp(0.01, 0.99).logit())

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        """The logits of images ``(..., H, W)`` given maps ``(*batch, H, W, M)``, ``(..., *batch, H, W)``."""
        left, gates, told = self._before_maps(image.unsqueeze(-1))
        if image.dim() >= maps.dim() - 1 or maps.device.type != "cpu":
            return self._given(left, gates, told, maps)
        # many z for each image: tensors that stay in the cache take a quarter of the time
        size = max(1, TILE // math.prod(maps.shape[1:-1]))
        return torch.cat([self._given(left, gates, told, tile) for tile in maps.split(size)])

    def _before_maps(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """What is of images ``(..., H, W, 1)`` alone.

        The horizontal stack up to the first layer that is given maps, the gates of this one, and what the
        vertical stack tells those after it.
        """
        # moved down by a row, and right by a column: no layer needs a mask
        up, left = _after(x, 1, -3)[..., :-1, :, :], _after(x, 1, -2)[..., :-1, :]
        told = []
        for layer in self.layers:
            up = layer.above(_after(up, layer.reach, -3))
            told.append(layer.link(up))
        for layer, row in zip(self.layers[: self.free], told, strict=False):
            left = layer.added(left, layer.gates(_after(left, layer.reach, -2), row))
        first = self.layers[self.free]
        gates = first.gates(_after(left, first.reach, -2), told[self.free])
        return left, gates, told[self.free + 1 :]

    def _given(self, left: Tensor, gates: Tensor, told: list[Tensor], maps: Tensor) -> Tensor:
        first, *others = [given(maps) for given in self.given]
        left = self.layers[self.free].added(left, gates + first)
        for layer, row, given in zip(self.layers[self.free + 1 :], told, others, strict=True):
            left = layer.added(left, layer.gates(_after(left, layer.reach, -2), row) + given)
        return self._logits(left) + self.offset

    def _logits(self, left: Tensor) -> Tensor:
        logits: Tensor = self.last(silu(left)).squeeze(-1)
        return logits

    @torch.no_grad()
    def draw(self, uniforms: Tensor, maps: Tensor) -> Tensor:
        """Images from uniform numbers ``(..., *batch, H, W)``; each pixel costs a column of each layer."""
        row, rows = torch.zeros_like(uniforms[..., :1, :]), []
        above: list[list[Tensor]] = [[] for _ in self.layers]
        for y, (numbers, given) in enumerate(zip(uniforms.split(1, -2), maps.split(1, -3), strict=True)):
            row = self._row(numbers, self._told(row.unsqueeze(-1), above, given), self.offset[y])
            rows.append(row)
        return torch.cat(rows, -2)

    def _told(self, up: Tensor, above: list[list[Tensor]], maps: Tensor) -> list[Tensor]:
        """What each layer is told in a row, of which the first reads the row before, ``(..., 1, W, 1)``.

        ``above`` keeps what each layer has read.
        """
        told = []
        for layer, read in zip(self.layers, above, strict=True):
            up = layer.above(_latest(read, up, layer.reach, -3))
            told.append(layer.link(up))
        given = [row + given(maps) for row, given in zip(told[self.free :], self.given, strict=True)]
        return [*told[: self.free], *given]

    def _row(self, uniforms: Tensor, told: list[Tensor], offset: Tensor) -> Tensor:
        """The pixels of a row, ``(..., 1, W)``, one after another."""
        pixel, pixels = torch.zeros_like(uniforms[..., :1]), []
        before: list[list[Tensor]] = [[] for _ in self.layers]
        columns = zip(*(row.split(1, -2) for row in told), strict=True)
        for number, bias, column in zip(uniforms.split(1, -1), offset, columns, strict=True):
            left = pixel.unsqueeze(-1)
            for layer, read, seen in zip(self.layers, before, column, strict=True):
                left = layer.added(left, layer.gates(_latest(read, left, layer.reach, -2), seen))
            pixel = (number < (self._logits(left) + bias).sigmoid()).to(number.dtype)
            pixels.append(pixel)
        return torch.cat(pixels, -1)


def _after(values: Tensor, count: int, dim: int) -> Tensor:
    """The values with so many zeros before the first, along a dimension counted from the right."""
    return pad(values, (*[0, 0] * (-dim - 1), count, 0))


def _latest(read: list[Tensor], value: Tensor, reach: int, dim: int) -> Tensor:
    """The next value with the ones that were read before it, as far back as a layer looks;
    zeros before the first.
    """
    read[:] = [*(read or [torch.zeros_like(value)] * reach), value][-1 - reach :]
    return torch.cat(read, dim)


class _Layer(nn.Module):
    """One layer of both stacks."""

    def __init__(self, source: int, reach: int, channels: int) -> None:
        super().__init__()
        self.reach, self.whole = reach, source == channels
        self.vertical = nn.Conv2d(source, 2 * channels, (reach + 1, 2 * reach + 1), padding=(0, reach))
        self.horizontal = nn.Conv2d(source, 2 * channels, (1, reach + 1))
        self.link = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)

    def above(self, up: Tensor) -> Tensor:
        """The vertical stack at each row but the first ``reach``, which are there to be read."""
        return _gated(_convolved(self.vertical, up))

    def gates(self, left: Tensor, told: Tensor) -> Tensor:
        """The gates of the horizontal stack at each column but the first ``reach``,
        which are there to be read.
        """
        return _convolved(self.horizontal, left) + told

    def added(self, left: Tensor, gates: Tensor) -> Tensor:
        """The horizontal stack."""
        new: Tensor = self.out(_gated(gates))
        return left + new if self.whole else new


def _convolved(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of images ``(..., H, W, C)``."""
    out = convolution(x.reshape(-1, *x.shape[-3:]).movedim(-1, 1)).movedim(1, -1)
    images: Tensor = out.reshape(*x.shape[:-3], *out.shape[1:])
    return images


def _gated(values: Tensor) -> Tensor:
    """tanh(a / 2) sigmoid(b) of values ``(..., 2C)``; the weights make up for the half."""
    # 2 sigmoid(a) - 1: a sigmoid takes a third of the time of a tanh
    a, b = values.sigmoid().chunk(2, -1)
    return torch.addcmul(-b, a, b, value=2)
