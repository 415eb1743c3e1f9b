"""Steps of flows whose parameters come from networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform
from zuko.nn import MLP, MaskedMLP
from zuko.transforms import (
    AutoregressiveTransform,
    CouplingTransform,
    DependentTransform,
    MonotonicAffineTransform,
    MonotonicRQSTransform,
)

from lvmbench.distributions import Coupled, Distribution, InvertibleFlow

Element = Callable[[Tensor], Transform]
"""From parameters ``(..., n, outputs)`` to a transform of vectors of length n, coordinate by coordinate."""
Pushed = tuple[Transform, slice | None]
"""A transform, and the coordinates that it changes where each has a map of its own,
which the others steer.
"""

NEAR = 0.01
"""The scale, at the start, of the last layer of what bends a flow:
every flow starts as near to the identity as this.
"""


class Step(nn.Module, ABC):
    """One step of a flow whose parameters come from a network of two hidden layers."""

    def __init__(self, network: nn.Sequential, shape: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.shape = network, shape
        with torch.no_grad():
            for weight in network[-1].parameters():
                weight.mul_(NEAR)

    @abstractmethod
    def forward(self, h: Tensor | None, element: Element) -> Pushed:
        """The step of each datum, given its context ``h`` of shape ``(B, context)``; without, one for all."""

    def given(self, z: Tensor, h: Tensor | None) -> Tensor:
        """The parameters of the coordinates, ``(..., B, n, outputs)``."""
        if h is not None:
            lead = torch.broadcast_shapes(z.shape[:-1], h.shape[:-1])
            z = torch.cat([z.expand(*lead, -1), h.expand(*lead, -1)], -1)
        given: Tensor = self.network(z).unflatten(-1, self.shape)
        return given


class AutoregressiveStep(Step):
    """Each coordinate is changed as the ones before it say,
    or with ``backwards`` the ones after it: in one pass.
    """

    def __init__(self, size: int, outputs: int, *, context: int = 0, hidden: int, backwards: bool) -> None:
        # strictly below the diagonal: a coordinate must not see itself, or the Jacobian is not triangular
        seen = torch.ones(size, size, dtype=torch.bool).tril(-1)
        seen = torch.cat([seen.T if backwards else seen, torch.ones(size, context, dtype=torch.bool)], 1)
        network = MaskedMLP(seen.repeat_interleave(outputs, 0), [hidden] * 2, activation=nn.SiLU)
        super().__init__(network, (size, outputs))

    def forward(self, h: Tensor | None, element: Element) -> Pushed:
        size, _ = self.shape
        # drawing takes one pass; the passes are those of the inverse, one for each coordinate
        return AutoregressiveTransform(lambda z: element(self.given(z, h)), passes=size), None


class CouplingStep(Step):
    """The second half of the coordinates is changed as the first one says,
    or with ``backwards`` the other way round.
    """

    def __init__(self, size: int, outputs: int, *, context: int = 0, hidden: int, backwards: bool) -> None:
        kept = size // 2
        network = MLP(kept + context, (size - kept) * outputs, [hidden] * 2, activation=nn.SiLU)
        super().__init__(network, (size - kept, outputs))
        self.backwards = backwards
        self.changed = slice(0, size - kept) if backwards else slice(kept, size)

    def forward(self, h: Tensor | None, element: Element) -> Pushed:
        halves = _Halves(lambda z: element(self.given(z, h)), self.shape[0], backwards=self.backwards)
        return halves, self.changed


class _Halves(CouplingTransform):  # type: ignore[misc]
    """The coupling of zuko by slices, as its masks wait for the device."""

    def __init__(self, meta: Element, changed: int, *, backwards: bool) -> None:
        Transform.__init__(self)
        self.meta, self.changed, self.backwards = meta, changed, backwards

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if self.backwards:
            return z[..., self.changed :], z[..., : self.changed]
        return z[..., : -self.changed], z[..., -self.changed :]

    def merge(self, kept: Tensor, changed: Tensor, shape: torch.Size) -> Tensor:
        kept = kept.expand(*changed.shape[:-1], -1)
        return torch.cat([changed, kept] if self.backwards else [kept, changed], -1)


def pushed(base: Distribution, transforms: Iterable[Pushed], event_shape: tuple[int, ...]) -> InvertibleFlow:
    """The base pushed through transforms."""
    pairs: list[tuple[Any, slice | None]] = list(transforms)  # zuko gives each a call_and_ladj
    steps = [Coupled(t.call_and_ladj, changed) if changed else t.call_and_ladj for t, changed in pairs]
    return InvertibleFlow(base, steps, [t.inv.call_and_ladj for t, _ in pairs], event_shape)


def affine(given: Tensor) -> Transform:
    """The element that scales and moves:
    ``given`` has a shift and a log scale, which is kept within 6.9 of 0.
    """
    scaled: Transform = DependentTransform(MonotonicAffineTransform(*given.unbind(-1)), 1)
    return scaled


class Splines:
    """The element that bends within -B and B, by splines of so many bins; beyond, it is the identity."""

    def __init__(self, bins: int, bound: float) -> None:
        # widths, heights, slopes at inner knots: at the outer ones the slope is that of the identity beyond
        self.sizes, self.bound = [bins, bins, bins - 1], bound
        self.outputs = sum(self.sizes)

    def __call__(self, given: Tensor) -> Transform:
        bent = MonotonicRQSTransform(*given.split(self.sizes, -1), bound=self.bound)
        spline: Transform = DependentTransform(bent, 1)
        return spline
