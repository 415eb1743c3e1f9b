"""Natural gradient ascent on the ELBO in the parameters of each datum's own diagonal normal."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.func import grad

from lvmbench import DiagonalNormal, Distribution, LatentVariableModel

Parameters = tuple[Tensor, Tensor]
"""Mean and log standard deviation, ``(B, *z)`` each."""
MOMENTUM = 0.5
"""The share of a step of the mean that the next one repeats.

It evens out coordinates that depend on each other.
"""
LONGEST = 0.5
"""No coordinate of the mean, and no log standard deviation, changes by more in one step."""
ENOUGH = 1e-4
"""A datum to which a whole step promises no more nats than this has arrived."""


def refine(
    model: LatentVariableModel, x: Tensor, start: Parameters, noise: Tensor, rate: Tensor | float
) -> Parameters:
    """Ascend from ``start`` in a step for each ``(P, *z)`` of ``noise``, ``(T, P, *z)``,
    which all data share.

    The size of the steps falls from ``rate`` to zero as a cosine; 1 is Newton's step where the posterior is a
    normal with independent coordinates. A datum that has arrived stays where it is. What stays is masked, as
    the cost must not depend on data.
    """
    if not len(noise):
        return start  # there may be no model to ask
    found, way, p = start, torch.zeros_like(start[0]), model.p()
    moves = torch.ones_like(start[0], dtype=torch.bool)
    for step, epsilon in enumerate(noise.unbind(0)):
        size = rate * 0.5 * (1 + math.cos(math.pi * step / len(noise)))
        # opposite samples: what is odd in epsilon cancels, as does all noise of the mean's step where
        # log p(x, z) is quadratic in z
        ahead, widening, promise = _natural(model, x, p, found, torch.cat([epsilon, -epsilon]))
        moves = moves & (promise > ENOUGH)
        way = torch.where(moves, (MOMENTUM * way + size * ahead).clamp(-LONGEST, LONGEST), 0)
        wider = torch.where(moves, (size * widening).clamp(-LONGEST, LONGEST), 0)
        found = found[0] + way, found[1] + wider
    return found


def _natural(
    model: LatentVariableModel, x: Tensor, p: Distribution, found: Parameters, epsilon: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The natural gradient of the ELBO in mean and log standard deviation,
    and the nats that following it promises.

    The Fisher information is 1 / sigma^2 of the mean and 2 of log sigma; the promise is half of what the
    gradient measures in it. The gradient is that of the path alone: its noise vanishes as q nears the true
    posterior.
    """

    def elbo(parameters: Parameters, held: Parameters) -> Tensor:
        loc, log_scale = parameters
        z = loc + log_scale.exp() * epsilon.unsqueeze(1)  # (2P, B, *z)
        return (model.log_joint(x, z, p) - normal(held, loc.dim() - 1).log_prob(z)).mean(0).sum()

    in_loc, in_log_scale = grad(elbo)(found, found)
    # the inverse Fisher information times the gradient
    ahead, widening = (2 * found[1]).exp() * in_loc, 0.5 * in_log_scale
    promise = 0.5 * (ahead * in_loc + widening * in_log_scale).flatten(1).sum(1)
    return ahead, widening, promise.reshape(-1, *[1] * (ahead.dim() - 1))


def normal(parameters: Parameters, event_dims: int) -> DiagonalNormal:
    """The distribution of these parameters."""
    return DiagonalNormal(*parameters, event_dims)
