"""The aggregated posterior q(z) of a split, and what z tells of the datum it was drawn for."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench import Distribution, LatentVariableModel, Noise, analytic_kl

_AT_ONCE = 2**18  # pairs of a sample and a datum, which bounds the memory


class Aggregate(NamedTuple):
    """Draws, ``(S, N)``, of log q(z|x) over a mean of posteriors.

    ``information`` has the mean over all N data below it, ``without_own`` that over the N - 1 others;
    ``marginal`` is the rate less the information.
    """

    information: Tensor
    without_own: Tensor
    marginal: Tensor


@torch.no_grad()
def aggregate(model: LatentVariableModel, x: Tensor, noise: Noise, samples: int, chunk: int) -> Aggregate:
    """Hold ``S`` samples of z for each of the data against the posteriors of all of them."""
    posteriors, start, columns = [model.q(part) for part in x.split(chunk)], 0, []
    p = model.p()
    for q in posteriors:
        z, log_q = q.sample_and_log_prob(noise, samples)
        own = start + torch.arange(log_q.shape[1], device=z.device).expand_as(log_q)
        information, without_own = _held_against(posteriors, z.flatten(0, 1), own.flatten())
        exact = analytic_kl(q, p)
        rate = log_q - p.log_prob(z) if exact is None else exact.expand_as(log_q)
        information = information.reshape_as(log_q)
        columns.append((information, without_own.reshape_as(log_q), rate - information))
        start += log_q.shape[1]
    return Aggregate(*(torch.cat(column, 1) for column in zip(*columns, strict=True)))


def _held_against(posteriors: list[Distribution], z: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """log q(z|x_own) less the log of the mean over all posteriors, and over all but the own one, ``(M,)``."""
    blocks = []
    rows = max(1, _AT_ONCE // len(own))
    for z_rows, own_rows in zip(z.split(rows), own.unsqueeze(1).split(rows), strict=True):
        log_q = torch.cat([_each(q, z_rows) for q in posteriors], 1)  # (M, N)
        mine, count = log_q.gather(1, own_rows), log_q.shape[1]
        everyone = log_q.logsumexp(1, keepdim=True) - math.log(count)
        # the leave-one-out bound of Poole et al.: the own posterior is not among those that stand for q(z)
        others = log_q.scatter(1, own_rows, -math.inf).logsumexp(1, keepdim=True) - math.log(count - 1)
        blocks.append(torch.cat([mine - everyone, mine - others], 1))
    first, second = torch.cat(blocks).unbind(1)
    return first, second


def _each(q: Distribution, z: Tensor) -> Tensor:
    """The log density of each z, ``(M, *z)``, under each posterior of the batch, ``(M, B)``."""
    size = len(q.log_prob(z[:1]))
    return q.log_prob(z.unsqueeze(1).expand(-1, size, *z.shape[1:]))
