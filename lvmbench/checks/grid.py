"""Grids over one or two values, on which a density is summed or integrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench.checks.contract import Skip, require
from lvmbench.checks.draws import draw, log_prob_at
from lvmbench.checks.specimen import Trial
from lvmbench.distributions import Distribution

DRAWS = 20_000
F64 = torch.float64
POINTS = {1: 2001, 2: 151}
"""Points along each axis of a quadrature over one or two values, half evenly, half where draws are;
of counts, the largest that is summed over.
"""
ROUGH = 0.05
"""The largest change of an integral with every second point that still counts as resolved."""
SUMMED = ("binary", "count", "levels")
"""The supports over which a density is summed."""
SUMMABLE = ("real", "unit", *SUMMED)
"""The supports over which a density is summed or integrated."""


class Support(NamedTuple):
    """A distribution of one or two values, the axes of a grid, draws, and which are within the grid."""

    p: Distribution
    axes: list[Tensor]
    values: Tensor
    inside: Tensor
    shape: tuple[int, ...]

    @property
    def points(self) -> Tensor:
        """The points of the grid, ``(N, D)``."""
        return _product(self.axes)

    def weights(self, density: Tensor, every: int = 1) -> Tensor:
        """The density at the points times their volumes, ``(N,)``; with ``every`` 2, of every second one."""
        if self.p.support in SUMMED:
            return density
        grid = density.reshape([len(axis) for axis in self.axes])
        grid = grid[(slice(None, None, every),) * grid.dim()]
        volumes: Tensor = _product([_trapezoids(axis[::every]) for axis in self.axes]).prod(1)
        return grid.flatten() * volumes

    def density(self, lead: int) -> Tensor:
        """The density at the points, ``(N,)``."""
        at = self.points.reshape(-1, *[1] * lead, *self.shape)
        return log_prob_at(self.p, at).exp().flatten()


def support_of(trial: Trial, p: Distribution) -> Support:
    """The grid of a distribution of one or two values, from draws of it."""
    values, others = (draw(p, trial.noise(*word), DRAWS)[0].reshape(DRAWS, -1) for word in ((), ("box",)))
    size = values.shape[1]
    if p.support in SUMMED:
        every = _every(trial, p, min(int(others.max()), POINTS[size]))
        return Support(p, [every] * size, values, (values <= every[-1]).all(1), trial.event_shape)
    low, high = others.quantile(1e-3, dim=0), others.quantile(1 - 1e-3, dim=0)
    low, high = low - 2 * (high - low), high + 2 * (high - low)
    low, high = torch.maximum(low, others.min(0).values), torch.minimum(high, others.max(0).values)
    require(
        bool((high > low).all()), "its samples are all the same", "a density over the reals has none of these"
    )
    axes = [_axis(*ends, POINTS[size]) for ends in zip(low, high, others.unbind(1), strict=True)]
    inside = ((values >= low) & (values <= high)).all(1)
    return Support(p, axes, values, inside, trial.event_shape)


def _every(trial: Trial, p: Distribution, most: int) -> Tensor:
    """Every value that there is; of counts, up to so many."""
    summary = trial.case.source.summary
    last = {"binary": 1, "levels": summary.levels - 1}.get(p.support, most)
    return torch.arange(last + 1, dtype=F64) * (summary.step if p.support == "levels" else 1)


def _axis(low: Tensor, high: Tensor, draws: Tensor, points: int) -> Tensor:
    """Even points alone would miss a spike between them, and most of a mass may be in one."""
    even = torch.linspace(float(low), float(high), points // 2 + 1, dtype=F64)
    dense = draws[(draws > low) & (draws < high)].quantile(torch.linspace(0, 1, points // 2, dtype=F64))
    axis: Tensor = torch.cat([even, dense]).unique()
    return axis


def _product(axes: Sequence[Tensor]) -> Tensor:
    return torch.cartesian_prod(*axes).reshape(-1, len(axes))


def _trapezoids(axis: Tensor) -> Tensor:
    """The weights of the trapezoid rule."""
    none = axis.new_zeros(1)
    return (torch.cat([none, axis.diff()]) + torch.cat([axis.diff(), none])) / 2


def resolved(support: Support, density: Tensor) -> float:
    """How much an integral changes with every second point; a skip where that is too much."""
    if support.p.support in SUMMED:
        return 0.0
    half, whole = (support.weights(density, every).sum() for every in (2, 1))
    change = float((half - whole).abs() / whole.clamp(min=1e-30))
    if change > ROUGH:
        raise Skip("its density is too rough for quadrature")
    return change
