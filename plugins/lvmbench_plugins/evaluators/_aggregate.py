"""The aggregated posterior q(z) of a split, and what z tells of the datum it was drawn for."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench import Distribution, Noise, Subject

_AT_ONCE = 2**11  # pairs of a sample and a datum: flows have hundreds of numbers for each
_NUMBERS = 2**15  # in all of the pairs, where that makes more of them: few at a time would take their time


class Aggregate(NamedTuple):
    """Draws, ``(S, M)``, of log q(z|x) over a mean of posteriors.

    ``information`` has the mean over all N data below it, ``without_own`` that over the N - 1 others.
    """

    information: Tensor
    without_own: Tensor


@torch.no_grad()
def aggregate(subject: Subject, x: Tensor, noise: Noise, rows: Tensor, samples: int, chunk: int) -> Aggregate:
    """Hold ``S`` samples of z for each of some of the data, their numbers ``(M,)``, against the posteriors
    of all.
    """
    posteriors = [(subject.q(part), len(part)) for part in x.split(min(chunk, _AT_ONCE))]
    columns = []
    for some in subject.followed(rows.split(max(1, len(rows) // 20))):
        z = subject.q(x[some]).sample(noise, samples)
        own = some.to(z.device).expand(samples, -1)
        found = _held_against(posteriors, z.flatten(0, 1), own.flatten())
        columns.append(tuple(each.reshape(own.shape) for each in found))
    return Aggregate(*(torch.cat(column, 1) for column in zip(*columns, strict=True)))


def _held_against(
    posteriors: list[tuple[Distribution, int]], z: Tensor, own: Tensor
) -> tuple[Tensor, Tensor]:
    """log q(z|x_own) less the log of the mean over all posteriors, and over all but the own one, ``(M,)``."""
    blocks, count = [], sum(size for _, size in posteriors)
    rows = max(1, max(_AT_ONCE, _NUMBERS // z[0].numel()) // count)
    for z_rows, own_rows in zip(z.split(rows), own.unsqueeze(1).split(rows), strict=True):
        log_q = torch.cat([_each(q, size, z_rows) for q, size in posteriors], 1)  # (M, N)
        mine = log_q.gather(1, own_rows)
        everyone = log_q.logsumexp(1, keepdim=True) - math.log(count)
        # the leave-one-out bound of Poole et al.: the own posterior is not among those that stand for q(z)
        others = log_q.scatter(1, own_rows, -math.inf).logsumexp(1, keepdim=True) - math.log(count - 1)
        blocks.append(torch.cat([mine - everyone, mine - others], 1))
    first, second = torch.cat(blocks).unbind(1)
    return first, second


def _each(q: Distribution, size: int, z: Tensor) -> Tensor:
    """The log density of each z, ``(M, *z)``, under each of so many posteriors, ``(M, B)``."""
    return q.log_prob(z.unsqueeze(1).expand(-1, size, *z.shape[1:]))
