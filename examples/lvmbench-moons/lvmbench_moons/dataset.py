"""Two interleaved half circles, whose density is known."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
from lvmbench import Count, Data, Dataset, DiagonalNormal, Noise, Positive, Size, Split, Stream
from torch import Tensor


@final
class Moons(Dataset):
    r"""Points on two interleaved half circles of radius 1 with normal noise; each datum's moon is its label.

    .. math:: p(x) = \frac12 \sum_m \int_0^\pi N(x; c_m(\theta), s^2 I)\, \frac{d\theta}{\pi}

    where :math:`c_0 = (\cos\theta, \sin\theta)` and :math:`c_1 = (1 - \cos\theta, 1/2 - \sin\theta)`. The
    integral is by Gauss-Legendre quadrature, of more nodes the smaller :math:`s` is.

    References:
        Scikit-learn: Machine Learning in Python (Pedregosa et al., 2011),
        https://jmlr.org/papers/v12/pedregosa11a.html (``make_moons``)

    Arguments:
        spread: The standard deviation :math:`s` of the noise.
        train: The number of training data.
        validation: The number of validation data.
        test: The number of test data.
        seed: What the draws come from.

    Example:
        >>> data = Moons().load()
        >>> data.splits["train"].x.shape, data.log_prob(data.splits["test"].x).shape
        (torch.Size([1000, 2]), torch.Size([500]))
    """

    def __init__(
        self,
        *,
        spread: Positive = 0.1,
        train: Count = 1000,
        validation: Count = 200,
        test: Count = 500,
        seed: Size = 0,
    ) -> None:
        self.spread, self.seed = spread, seed
        self.sizes = {"train": train, "validation": validation, "test": test}

    def load(self) -> Data:
        splits = {part: self._split(part, size) for part, size in self.sizes.items()}
        return Data(splits, "real", "generated: free of any terms", log_prob=self._log_prob)

    def _split(self, part: str, size: int) -> Split:
        x, labels = self._draw(Stream.seeded(self.seed, "moons", part, dtype=torch.float64), size)
        return Split(x.float(), labels)

    def _draw(self, noise: Noise, size: int) -> tuple[Tensor, Tensor]:
        labels = (2 * noise.uniform((size,))).long()
        moons = _moons(math.pi * noise.uniform((size,)))  # (2, N, 2)
        x = moons[labels, torch.arange(size)]
        return x + self.spread * noise.normal((size, 2)), labels

    def _log_prob(self, x: Tensor) -> Tensor:
        """The true log density of points ``(N, 2)``, ``(N,)``."""
        count = 20 + math.ceil(8 / self.spread)
        nodes, weights = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(count))
        scale = torch.tensor(self.spread, dtype=torch.float64)
        arcs = DiagonalNormal(_moons(math.pi / 2 * (nodes + 1)), scale.log())  # (2, T)
        chunks = x.cpu().double()[:, None, None].split(1024)
        log_p = [(arcs.log_prob(part) + (weights / 4).log()).flatten(1).logsumexp(1) for part in chunks]
        return torch.cat(log_p).to(x.device, x.dtype)


def _moons(angle: Tensor) -> Tensor:
    """The points of both moons at angles ``(T,)``, ``(2, T, 2)``."""
    upper = torch.stack([angle.cos(), angle.sin()], dim=-1)
    return torch.stack([upper, torch.tensor([1.0, 0.5], dtype=angle.dtype) - upper])
