"""What an objective is expected to be on a toy model, exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvmbench.checks.contract import Skip
from lvmbench.checks.toys import Toy
from lvmbench.distributions import Bernoulli, Mixture, Resampled
from lvmbench.noise import Noise
from lvmbench.terms import Terms

NODES = 40
SEVERAL = 3
"""The most samples whose joint values are summed over."""


class _Nothing(Noise):
    """For objectives that draw nothing but their samples of z."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        raise Skip("the objective draws more than the samples of z")

    uniform = normal


def expectation(toy: Toy, index: int, kl_weight: float = 1.0) -> Tensor:
    """The exact expectation of the objective at one x, ``()``, over all of its K samples."""
    model, objective = toy.model, toy.parts.objective
    count = 1 if objective.additive else objective.samples
    if count > SEVERAL:
        raise Skip("its samples have too many joint values to sum over")
    kinks = {"log_weights", "smooth"} & objective.provides == {"log_weights"}
    if kinks and model.prior.distribution is not Bernoulli:
        raise Skip("quadrature over normal z is not exact where the objective has kinks")
    if model.prior.space.steps:
        raise Skip("its samples are of several steps")
    values, log_q, weights = _every(model.q(toy.x[index : index + 1]))
    joint = torch.cartesian_prod(*[torch.arange(len(values))] * count).reshape(-1, count).T  # (K, N)
    terms = Terms(model, toy.x[index].expand(joint.shape[1], 1), _Nothing(), count)
    bound: Tensor = objective(terms.having(values[joint], log_q[joint]), kl_weight)
    return (weights[joint].prod(0) * bound).sum()


def _every(q: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Values of one z, ``(M, 1)``, their log q, ``(M,)``, and weights, ``(M,)``,
    that sum what is smooth in it over q of batch shape ``(1,)``.
    """
    if isinstance(q, Resampled):
        return _every_choice(q)
    values, weights = _points(q)
    return values, q.log_prob(values.unsqueeze(1)).squeeze(1), weights


def _every_choice(q: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The same of one of two proposals: every pair, with either of them chosen."""
    values, log_q, weights = _every(q.base)
    pairs = torch.cartesian_prod(*[torch.arange(len(values))] * 2).T  # (2, M^2)
    log_shares = q.log_shares((q.log_target(values.unsqueeze(1)).squeeze(1) - log_q)[pairs])
    chosen = weights[pairs].prod(0) * log_shares.exp()
    return values[pairs.flatten()], (log_q[pairs] + log_shares + math.log(2)).flatten(), chosen.flatten()


def _points(q: Any) -> tuple[Tensor, Tensor]:
    """Values of one z, and weights, of what has a density."""
    if isinstance(q, Bernoulli):
        bits = torch.arange(2.0).double().unsqueeze(1)
        return bits, q.log_prob(bits).exp()
    normal, shares = (q.components, q.log_weights.exp()) if isinstance(q, Mixture) else (q, torch.ones(1, 1))
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(NODES))
    loc, scale = (t.reshape(-1, 1) for t in (normal.loc, normal.log_scale.exp()))
    return (loc + scale * nodes).reshape(-1, 1), (shares.T * weights / weights.sum()).flatten()
