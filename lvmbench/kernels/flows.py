"""Steps of flows whose parameters come from networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform
from torch.nn.functional import linear, pad, silu
from zuko.nn import MLP, MaskedMLP
from zuko.transforms import DependentTransform, MonotonicAffineTransform, MonotonicRQSTransform

from lvmbench.distributions import Coupled, Distribution, InvertibleFlow

Element = Callable[[Tensor], Transform]
"""From parameters ``(..., n, outputs)`` to a transform of vectors of length n, coordinate by coordinate."""
Map = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From vectors, ``(..., D)``, to their images and the log determinant, ``(...)``."""
Way = Callable[[Transform, Tensor], tuple[Tensor, Tensor]]
"""Through a transform or back."""


@dataclass(frozen=True)
class Change:
    """A map of vectors and the map back.

    ``changed`` are the coordinates that it changes where each has a map of its own, which the others steer.
    """

    forth: Map
    back: Map
    changed: slice | None = None

    @classmethod
    def by(cls, transform: Transform) -> Change:
        """One that changes each coordinate by itself."""
        return cls(lambda z: _forth(transform, z), lambda z: _back(transform, z), slice(None))

    @property
    def inv(self) -> Change:
        """The other way round."""
        return Change(self.back, self.forth, self.changed)


def _forth(transform: Any, z: Tensor) -> tuple[Tensor, Tensor]:
    image: tuple[Tensor, Tensor] = transform.call_and_ladj(z)  # which zuko gives each
    return image


def _back(transform: Transform, image: Tensor) -> tuple[Tensor, Tensor]:
    z = transform._inverse(image)
    return z, -transform.log_abs_det_jacobian(z, image)


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
    def forward(self, h: Tensor | None, element: Element) -> Change:
        """The step of each datum, given its context ``h`` of shape ``(B, context)``; without, one for all."""

    def given(self, z: Tensor, h: Tensor | None) -> Tensor:
        """The parameters of the coordinates, ``(..., B, n, outputs)``."""
        if h is not None:
            lead = _together(z, h)
            z = torch.cat([z.expand(*lead, -1), h.expand(*lead, -1)], -1)
        given: Tensor = self.network(z).unflatten(-1, self.shape)
        return given


class AutoregressiveStep(Step):
    """Each coordinate is changed as the ones before it say, or with ``backwards`` the ones after it: in one
    pass of the network.

    The change back is found one coordinate after another. A hidden unit has the rank of the last coordinate
    that it sees, and is found once that one is known, so that all together take one pass as well.
    """

    def __init__(self, size: int, outputs: int, *, context: int = 0, hidden: int, backwards: bool) -> None:
        # strictly below the diagonal: a coordinate must not see itself, or the Jacobian is not triangular
        seen = torch.ones(size, size, dtype=torch.bool).tril(-1)
        seen = torch.cat([seen.T if backwards else seen, torch.ones(size, context, dtype=torch.bool)], 1)
        network = MaskedMLP(seen.repeat_interleave(outputs, 0), [hidden] * 2, activation=nn.SiLU)
        super().__init__(network, (size, outputs))
        self.backwards = backwards
        # who sees a context is there before any coordinate is known; no unit sees the last coordinate
        self.ranks = size if context else size - 1

    def forward(self, h: Tensor | None, element: Element) -> Change:
        return Change(lambda z: _forth(element(self.given(z, h)), z), lambda z: self._undone(z, h, element))

    def _undone(self, changed: Tensor, h: Tensor | None, element: Element) -> tuple[Tensor, Tensor]:
        """What was changed to these vectors, and the log determinant of the change back."""
        changed = changed if h is None else changed.expand(*_together(changed, h), -1)
        known, log_dets, units = changed[..., :0], [], _Units(self, h, changed[..., :0])
        for value in self.turned(changed, -1).split(1, -1):
            found, log_det = _back(element(units.given(known)), value)
            known = torch.cat([known, found], -1)
            log_dets.append(log_det)
        return self.turned(known, -1), torch.stack(log_dets).sum(0)

    def turned(self, values: Tensor, dim: int) -> Tensor:
        """Coordinates in the order in which they are changed, or from that order in their own."""
        return values.flip(dim) if self.backwards else values


class _Units:
    """The network of a step for one coordinate after another: its hidden units, as far as they are known."""

    def __init__(self, step: AutoregressiveStep, h: Tensor | None, none: Tensor) -> None:
        size, ranks = step.shape[0], step.ranks
        layers: list[Any] = list(step.network)[::2]
        first, second, last = (layer.mask * layer.weight for layer in layers)
        biases: list[Tensor] = [layer.bias for layer in layers]
        starts = biases[0] if h is None else linear(h, first[:, size:], biases[0])
        self.unseeing = size - ranks
        # of each layer what units start from, by rank, and what they add of the coordinates or units below
        self.starts = (
            _by_rank(starts, ranks),
            _by_rank(biases[1], ranks),
            step.turned(_parted(biases[2], step), 0),
        )
        self.coordinates = _by_rank(step.turned(first[:, :size].T, 0), ranks)  # (D, ranks, units)
        self.second = _by_rank(_by_rank(second, ranks).movedim(0, -1), ranks)  # (ranks, units, ranks, units)
        self.last = step.turned(_parted(_by_rank(last, ranks), step), 0)  # (D, outputs, ranks, units)
        self.hidden = [none, none]

    def given(self, known: Tensor) -> Tensor:
        """The parameters of the next coordinate, ``(..., 1, outputs)``, given those before it."""
        place = known.shape[-1]
        rank = place - self.unseeing
        if rank >= 0:
            self._find(rank, known)
        last = self.last[place][:, : rank + 1].flatten(1)
        return linear(self.hidden[1], last, self.starts[2][place]).unsqueeze(-2)

    def _find(self, rank: int, known: Tensor) -> None:
        """Find the hidden units of the next rank, layer by layer."""
        weights = (
            self.coordinates[: known.shape[-1], rank],
            self.second[: rank + 1, :, rank].flatten(0, 1),
        )
        below = known
        for layer, weight in enumerate(weights):
            found = silu(self.starts[layer][..., rank, :] + below @ weight)
            below = self.hidden[layer] = torch.cat([self.hidden[layer], found], -1)


def _by_rank(units: Tensor, ranks: int) -> Tensor:
    """The last dimension, of units, as ranks and the units of each, with zeros where a rank has fewer."""
    # zuko gives units their ranks in turn
    filled: Tensor = pad(units, (0, -units.shape[-1] % ranks)).unflatten(-1, (-1, ranks))
    return filled.transpose(-1, -2)


def _parted(values: Tensor, step: Step) -> Tensor:
    """The first dimension, of all outputs, as coordinates and the outputs of each."""
    parted: Tensor = values.unflatten(0, step.shape)
    return parted


def _together(z: Tensor, h: Tensor) -> torch.Size:
    """The shape of vectors and contexts side by side, but for their last dimension."""
    shape: torch.Size = torch.broadcast_shapes(z.shape[:-1], h.shape[:-1])
    return shape


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

    def forward(self, h: Tensor | None, element: Element) -> Change:
        def half(way: Way) -> Map:
            return lambda z: self._half(z, lambda kept: element(self.given(kept, h)), way)

        return Change(half(_forth), half(_back), self.changed)

    def _half(self, z: Tensor, steered: Element, way: Way) -> tuple[Tensor, Tensor]:
        """The vectors with one half gone one way, by the transform that the other half gives."""
        # by slices: masks, as zuko's own coupling has them, wait for the device
        rest = z.shape[-1] - self.shape[0]
        sizes = [self.shape[0], rest] if self.backwards else [rest, self.shape[0]]
        kept, moved = self._turned(z.split(sizes, -1))
        moved, log_det = way(steered(kept), moved)
        return torch.cat(self._turned((kept.expand(*moved.shape[:-1], -1), moved)), -1), log_det

    def _turned(self, halves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return halves[::-1] if self.backwards else halves


def pushed(base: Distribution, changes: Iterable[Change], event_shape: tuple[int, ...]) -> InvertibleFlow:
    """The base pushed through changes."""
    changes = list(changes)
    steps = [Coupled(c.forth, c.changed) if c.changed else c.forth for c in changes]
    return InvertibleFlow(base, steps, [c.back for c in changes], event_shape)


class _Apart(DependentTransform):  # type: ignore[misc]
    """A transform of each coordinate by itself."""

    def _inverse(self, image: Tensor) -> Tensor:
        # a transform and its inv refer to each other: what they hold would be kept until it is searched for
        z: Tensor = self.base._inverse(image)
        return z


def affine(given: Tensor) -> Transform:
    """The element that scales and moves:
    ``given`` has a shift and a log scale, which is kept within 6.9 of 0.
    """
    return _Apart(MonotonicAffineTransform(*given.unbind(-1)), 1)


class Splines:
    """The element that bends within -B and B, by splines of so many bins; beyond, it is the identity."""

    def __init__(self, bins: int, bound: float) -> None:
        # widths, heights, slopes at inner knots: at the outer ones the slope is that of the identity beyond
        self.sizes, self.bound = [bins, bins, bins - 1], bound
        self.outputs = sum(self.sizes)

    def __call__(self, given: Tensor) -> Transform:
        return _Apart(MonotonicRQSTransform(*given.split(self.sizes, -1), bound=self.bound), 1)
