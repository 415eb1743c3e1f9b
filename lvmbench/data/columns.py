"""What the columns of x ``(N, *x)`` are like: coarse for their spread, with atoms, or far from 0.

NaN was not observed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = torch.finfo(torch.float32).eps
RESOLUTION = 2**-8
"""Single precision is enough where its steps are at most this share of a column's spread.

Rounding to steps h adds h^2 / 12 to a variance s^2, and as much again to each mean that is compared with x:
log densities are then off by about (h / s)^2 / 12, which is a millionth of a nat for each value.
"""
RECURRING = 0.1
"""The share of rows from which on a value that recurs in them is an atom."""
FEW = 5
"""So few rows may hold the same value by chance, as decimals are rounded."""
FAR = 30
"""From so many standard deviations on, training lags:
on probabilistic PCA by more than a nat after 100 epochs.
"""
CHUNK = 4096
"""At most about so many rows are put in order."""


def coarse(x: Tensor) -> list[tuple[int, ...]]:
    """The columns of x ``(N, *x)``, in double precision, whose values single precision does not tell apart
    well enough.

    Its step at the largest value is held against the standard deviation, and its step at the median against
    the range of the middle half, which no outlier widens.
    """
    rows = x.flatten(1)
    quarters = torch.tensor([0.25, 0.5, 0.75], dtype=rows.dtype)
    low, middle, high = rows[:: math.ceil(len(rows) / CHUNK)].nanquantile(quarters, 0)
    spread, centred = _spread(rows), low < high
    varies = spread.least < spread.most
    largest = torch.maximum(spread.least.abs(), spread.most.abs())
    everywhere = ROUNDING * largest > RESOLUTION * spread.deviation
    inside = ROUNDING * middle.abs() > RESOLUTION * (high - low)
    return _places(x, (varies & everywhere) | (centred & inside))


def atoms(x: Tensor) -> list[tuple[int, ...]]:
    """The columns of x ``(N, *x)`` that hold whole numbers only, or one value in a tenth of the rows or more.

    No continuous distribution has such columns, and no model's density on them is bounded.
    """
    rows = x.flatten(1)
    ordered = rows[:: math.ceil(len(rows) / CHUNK)].sort(0).values
    # Of n rows in order, a value in m of them stands at both ends of some stretch of m - 1 steps.
    step = max(FEW, math.ceil(RECURRING * len(ordered))) - 1
    recurs = (ordered[step:] == ordered[: max(0, len(ordered) - step)]).any(0)
    return _places(x, ((rows == rows.round()) | rows.isnan()).all(0) | recurs)


def remote(x: Tensor) -> list[tuple[int, ...]]:
    """The columns of x ``(N, *x)`` that are far from 0 for their spread,
    though not too far for single precision.
    """
    spread = _spread(x.flatten(1).double())
    varies = spread.least < spread.most
    return _places(x, varies & (spread.mean.abs() >= FAR * spread.deviation))


class _Spread(NamedTuple):
    """The smallest and largest value, the mean and the standard deviation of each column, ``(D,)``."""

    least: Tensor
    most: Tensor
    mean: Tensor
    deviation: Tensor


def _spread(rows: Tensor) -> _Spread:
    """Of what was observed in the columns of rows ``(N, D)``."""
    gaps, mean = rows.isnan(), rows.nanmean(0)
    deviation = (rows - mean).square().nanmean(0).sqrt()
    least, most = rows.masked_fill(gaps, math.inf).amin(0), rows.masked_fill(gaps, -math.inf).amax(0)
    return _Spread(least, most, mean, deviation)


def _places(x: Tensor, columns: Tensor) -> list[tuple[int, ...]]:
    """The places of the columns that are marked, ``(D,)``, in the shape of a datum."""
    return [tuple(place) for place in columns.reshape(x.shape[1:]).nonzero().tolist()]
