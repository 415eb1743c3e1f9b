"""Where decoders start."""

from __future__ import annotations

from torch import Tensor


def tilt(mean: Tensor) -> Tensor:
    r"""The slope, over [0, 1], of a log density that is linear and has about this mean, away from 0 and 1.

    Twice the inverse Langevin function of :math:`y = 2 m - 1` for the mean m, by Cohen's approximation,
    :math:`y (3 - y^2) / (1 - y^2)`.
    """
    y = 2 * mean.clamp(0.01, 0.99) - 1
    return 2 * y * (3 - y**2) / (1 - y**2)
