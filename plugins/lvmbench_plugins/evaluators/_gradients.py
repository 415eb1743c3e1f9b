"""Draws of an estimator's gradient, and what is kept of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from lvmbench import Buffer, Demand, Estimate, Noise, Recorder, Subject

_DIRECTIONS = 4
_BLOCK = 2**13


class Group(NamedTuple):
    """What is kept of one part's gradients in one group: ``deviations``, ``(R,)``, of which the variance is
    the mean, the ``mean``, ``(P,)``, and the projections, ``shadows``, ``(R, m)``.
    """

    deviations: Tensor
    mean: Tensor
    shadows: Tensor

    @classmethod
    def of(cls, gradients: Iterable[Tensor], directions: Iterable[Tensor]) -> Group:
        """From gradients, ``(R, P)`` of each parameter."""
        columns = zip(gradients, directions, strict=True)
        # some of a parameter at a time: they are read three times, from a cache all but the first
        blocks = (pair for g, d in columns for pair in zip(g.split(_BLOCK, 1), d.split(_BLOCK), strict=True))
        deviations, means, shadows = zip(*(_of_block(g, d.to(g)) for g, d in blocks), strict=True)
        return cls(torch.stack(deviations).sum(0), torch.cat(means), torch.stack(shadows).sum(0))


class Gradients(NamedTuple):
    """What is kept of one part's gradients.

    ``deviations``, ``(R,)``, has the variance as its mean; ``products``, ``(groups, groups)``, are those of
    the groups' means with each other; ``sizes``, ``(groups,)``; ``shadows``, ``(R, m)``, are the projections.
    """

    deviations: Tensor
    products: Tensor
    sizes: Tensor
    shadows: Tensor

    @classmethod
    def joined(cls, groups: list[Group]) -> Gradients:
        """Of all groups together."""
        # some parameters at a time: side by side and in double precision all are three times the memory
        blocks = zip(*(group.mean.split(2**16) for group in groups), strict=True)
        means = (torch.stack(block).double() for block in blocks)
        products = torch.stack([block @ block.T for block in means]).sum(0)
        sizes = torch.tensor([len(group.deviations) for group in groups]).to(products)
        deviations = torch.cat([group.deviations for group in groups]).double()
        shadows = torch.cat([group.shadows for group in groups]).double()
        return cls(deviations, products, sizes, shadows)

    @property
    def variance(self) -> tuple[float, float]:
        """The trace of the covariance and its standard error.

        Deviations from a group's own mean depend on each other; of two they are the same number twice.
        """
        free = len(self.deviations) - len(self.sizes)
        return self.deviations.mean().item(), (self.deviations.std() / free**0.5).item()

    @property
    def noisy(self) -> bool:
        """Whether the gradients differ by more than rounding."""
        return self.variance[0] > 1e-10 * self.products.diagonal().max().item()

    @property
    def square(self) -> tuple[float, float]:
        """The squared norm of the mean without the bias of its noise, and the jackknife's standard error."""
        square, _ = self._whole
        others, _ = self._left_out
        return square.item(), _jackknife(others)

    @property
    def ratio(self) -> tuple[float, float]:
        """The same over the variance, which an outlier raises with it: so the jackknife is of the ratio."""
        square, variance = self._whole
        others, variances = self._left_out
        return (square / variance).item(), _jackknife(others / variances)

    @property
    def _whole(self) -> tuple[Tensor, Tensor]:
        """The squared norm and the variance."""
        square = self.sizes @ self.products @ self.sizes
        return _moments(square, self.deviations.sum(), self.sizes.sum())

    @property
    def _left_out(self) -> tuple[Tensor, Tensor]:
        """Both without each group, ``(groups,)``."""
        parts = self.deviations.split(self.sizes.long().tolist())
        deviations = torch.stack([part.sum() for part in parts])
        others = self.sizes * (1 - torch.eye(len(parts)).to(self.sizes))  # (groups, groups)
        squares = ((others @ self.products) * others).sum(1)
        return _moments(squares, self.deviations.sum() - deviations, self.sizes.sum() - self.sizes)


def _of_block(gradients: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What some of a parameter adds to deviations, ``(R,)``, mean, ``(P,)``, and projections, ``(R, m)``."""
    size, mean = len(gradients), gradients.mean(0)
    shadows = gradients @ directions
    # so that their mean is the unbiased variance
    deviations = torch.linalg.vector_norm(gradients - mean, dim=1).square() * (size / (size - 1))
    return deviations, mean, shadows


def _moments(square: Tensor, deviations: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """The squared norm of the mean without its bias, and the variance, from the squared norm of the sum of so
    many gradients, and the sum of their deviations.
    """
    # |mean|^2 is V / R too large on average
    variance = deviations / count
    return square / count.square() - variance / count, variance


def _jackknife(left_out: Tensor) -> float:
    """The standard error of a figure, from its values without each group."""
    return math.sqrt((len(left_out) - 1) * left_out.var(correction=0).item())


class _Step(nn.Module):
    """The mean surrogate of a batch, with everything that has parameters inside one module."""

    def __init__(self, subject: Subject, name: str) -> None:
        super().__init__()
        # as in training, where relaxed samples carry gradients; a copy, whose state may go on
        self.model, self.objective = copy.deepcopy(subject.model).train(), subject.objective
        self.estimator = copy.deepcopy(subject.estimators[name]).eval()

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        estimate: Estimate = self.estimator(self.objective, self.model, x, noise)
        return estimate.surrogate.mean()

    @property
    def vectorizable(self) -> bool:
        parts = (self.objective, self.estimator, *(getattr(self.model, part) for part in self.model.PARTS))
        return all(part.vectorizable for part in parts)


class Sampler:
    """Draws groups of gradients of one estimator.

    Words tell its noise from that of the same estimator elsewhere.
    """

    def __init__(self, subject: Subject, name: str, x: Tensor, *words: object) -> None:
        self.step, self.x = _Step(subject, name), x
        named = ((f"model.{key}", value) for key, value in subject.model.named_parameters())
        self.parameters = {key: value.detach() for key, value in named if value.requires_grad}
        self.noise = subject.noise("gradient_variance", name, *words)
        self.demand = self._demand(Recorder(subject.noise("gradient_variance", "demand")))
        found = {part: self._keys(part) for part in subject.model.PARTS}
        self.parts = {part: keys for part, keys in found.items() if keys}
        self.directions = {part: self._directions(subject, part) for part in self.parts}

    @torch.no_grad()
    def _demand(self, recorder: Recorder) -> Demand:
        self.step(self.x, recorder)
        return recorder.demand

    def _keys(self, part: str) -> list[str]:
        return [key for key in self.parameters if key.startswith(f"model.{part}.")]

    def _directions(self, subject: Subject, part: str) -> tuple[Tensor, ...]:
        """The same directions for every estimator, ``(P, m)`` of each parameter of a part."""
        sizes = [self.parameters[key].numel() for key in self.parts[part]]
        noise = subject.noise("gradient_variance", "directions", part)
        directions = noise.normal((sum(sizes), min(sum(sizes), _DIRECTIONS)))
        return torch.split(directions, sizes)

    def group(self, size: int) -> dict[str, Group]:
        """What is kept of ``size`` fresh gradients, by part."""
        normals = self.noise.normal((size, self.demand.normals))
        uniforms = self.noise.uniform((size, self.demand.uniforms))
        draw = self._vectorised if self.step.vectorizable else self._looped
        found = draw(normals, uniforms)
        # each is let go once it is read
        return {
            part: Group.of((found.pop(key).reshape(size, -1) for key in keys), self.directions[part])
            for part, keys in self.parts.items()
        }

    def _value(self, parameters: Mapping[str, Tensor], normals: Tensor, uniforms: Tensor) -> Tensor:
        # what a step writes to buffers stays in copies of its own
        buffers = {key: buffer.clone() for key, buffer in self.step.named_buffers()}
        state = {**buffers, **parameters}
        value: Tensor = functional_call(self.step, state, (self.x, Buffer(normals, uniforms)))
        return value

    def _vectorised(self, normals: Tensor, uniforms: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = vmap(grad(self._value), (None, 0, 0))(self.parameters, normals, uniforms)
        return found

    @torch.enable_grad()
    def _looped(self, normals: Tensor, uniforms: Tensor) -> dict[str, Tensor]:
        leaves = {key: value.clone().requires_grad_() for key, value in self.parameters.items()}
        values = (self._value(leaves, *noise) for noise in zip(normals, uniforms, strict=True))
        found = [self._gradient(value, leaves) for value in values]
        return {key: torch.stack([gradient[key] for gradient in found]) for key in leaves}

    @staticmethod
    def _gradient(value: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(leaves, found, strict=True))
