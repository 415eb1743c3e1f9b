"""Gradient ascent on the ELBO in the parameters of each datum's own diagonal normal."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad

from lvmbench import DiagonalNormal, LatentVariableModel

Parameters = tuple[Tensor, Tensor]
"""Mean and log standard deviation, ``(B, *z)`` each."""
DECAYS = 0.9, 0.999
TINY = 1e-8


def refine(
    model: LatentVariableModel, x: Tensor, start: Parameters, noise: Tensor, rate: float
) -> Parameters:
    """Ascend from ``start`` by Adam, a step for each ``(P, *z)`` of ``noise``, ``(T, P, *z)``, which all data share."""

    def elbo(parameters: Parameters, epsilon: Tensor) -> Tensor:
        loc, log_scale = parameters
        z = loc + log_scale.exp() * epsilon.unsqueeze(1)  # (P, B, *z)
        return model.log_joint(x, z).mean(0).sum() + log_scale.sum()

    found, first, second = start, _zeros(start), _zeros(start)
    for step, epsilon in enumerate(noise.unbind(0), 1):
        gradient = grad(elbo)(found, epsilon)
        first = _mixed(first, gradient, DECAYS[0])
        second = _mixed(second, tuple(g.square() for g in gradient), DECAYS[1])
        found = _moved(found, first, second, rate, step)
    return found


def _zeros(parameters: Parameters) -> Parameters:
    return torch.zeros_like(parameters[0]), torch.zeros_like(parameters[1])


def _mixed(old: Parameters, new: Parameters, decay: float) -> Parameters:
    one, other = (decay * a + (1 - decay) * b for a, b in zip(old, new, strict=True))
    return one, other


def _moved(found: Parameters, first: Parameters, second: Parameters, rate: float, step: int) -> Parameters:
    """One step of Adam, upwards."""

    def moved(value: Tensor, mean: Tensor, square: Tensor) -> Tensor:
        mean, square = mean / (1 - DECAYS[0] ** step), square / (1 - DECAYS[1] ** step)
        return value + rate * mean / (square + TINY**2).sqrt()  # the square root has a derivative at 0 too

    one, other = (moved(*row) for row in zip(found, first, second, strict=True))
    return one, other


def normal(parameters: Parameters, event_dims: int) -> DiagonalNormal:
    """The distribution of these parameters."""
    return DiagonalNormal(*parameters, event_dims)
