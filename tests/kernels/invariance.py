"""Kernels of Markov chains held to their law: what leaves a target as it is, and what forgets where it began.

Chains start from exact draws, so that no burn-in has to be guessed: wherever they have come after any number
of transitions, each is an exact draw again.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy import stats

from lvmbench import Stream

F64 = torch.float64
MIX = torch.tensor([[1.0, 0.0], [1.2, 0.5]], dtype=F64)


class Known(NamedTuple):
    """A density of two values, how it is drawn from, given standard normal numbers, and the way back."""

    log_density: Callable[[torch.Tensor], torch.Tensor]
    draw: Callable[[torch.Tensor], torch.Tensor]
    whiten: Callable[[torch.Tensor], torch.Tensor]


def known(draw, whiten):
    """A target of a way that keeps volume or changes it by a constant."""
    return Known(lambda z: -0.5 * whiten(z).square().sum(-1), draw, whiten)


def bent(z, by):
    """Points whose second value is moved along a parabola of the first."""
    return torch.cat([z[..., :1], z[..., 1:] + by * (z[..., :1].square() - 1)], -1)


NORMAL = known(lambda u: u @ MIX.T, lambda z: z @ torch.linalg.inv(MIX).T)
"""A normal, whose correlation is 12/13."""
BANANA = known(lambda u: bent(u, 1), lambda z: bent(z, -1))
"""A normal value, and a second one that is scattered about a parabola of it."""


def stays(kernel, target, chance, *, chains=20_000, transitions=8):
    """Moments and laws of chains are those of the target: two comparisons.

    ``kernel(log_density, noise)`` makes a way from the places of the chains, ``(chains, 2)``, to the next.
    """
    _, u = moved(kernel, target, chance, chains, transitions)
    moments = torch.cat([u, u.prod(-1, keepdim=True), u.square() - 1], -1)
    chance.agrees(moments)
    normal = [u[:, 0], u[:, 1], u.sum(-1) / 2**0.5, u.diff(dim=-1)[:, 0] / 2**0.5]
    levels = [stats.kstest(values.numpy(), "norm").pvalue for values in normal]
    chance.likely(*levels, stats.kstest(share(u).numpy(), "uniform").pvalue)


def forgets(kernel, target, chance, *, chains=20_000, transitions=30):
    """The density where a chain is does not depend on that where it began: one comparison.

    A kernel that leads around at one energy, as one that never draws a velocity anew, may leave its target as
    it is, and still not come to it from elsewhere.
    """
    one, other = (share(u) - 0.5 for u in moved(kernel, target, chance, chains, transitions))
    chance.agrees(12 * one * other, slack=0.02)  # the correlation, of which a good kernel has next to none


def share(u):
    """How much of the standard normal is further out than its points: uniform."""
    return (-0.5 * u.square().sum(-1)).exp()


def moved(kernel, target, chance, chains, transitions):
    """Where chains began and where they have come, in standard normal values."""
    noise = Stream.seeded(chance.seed, "chains", dtype=F64)
    began = noise.normal((chains, 2))
    move, z = kernel(target.log_density, noise), target.draw(began)
    for _ in range(transitions):
        z = move(z)
    return began, target.whiten(z)
