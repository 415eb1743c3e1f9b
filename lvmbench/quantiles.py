"""Quantiles of distributions without closed form, that carry gradients to their parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.special import erfc, gammainc, gammaincc, gammaln

_STEPS = 5  # of Newton's method, which has converged after 4 for any shape of 1 or more (measured)
_STRIDE = 1e-3  # of the differences in the shape, in standard deviations
_BITS = 24
_MOST = 2.0**_BITS - 1  # the largest whole number below those that single precision rounds


class LogGamma(torch.autograd.Function):
    r"""The logarithm y of the quantile of a gamma distribution of unit rate
    where a normal number z has its own quantile.

    .. math:: P(a, e^y) = \Phi(z), \qquad
        \frac{\partial y}{\partial a} = -\frac{\partial P(a, x)}{\partial a} \Big/ (x\, p(x; a))

    for shapes :math:`a \ge 1`. In y the logarithms of the lower and of the upper tail are concave, so that
    Newton's method converges from anywhere; the smaller tail of the two is solved for. The derivative is the
    implicit one, with that of P in the shape from differences of fourth order. All in double precision: y and
    its derivative are exact to 1e-7.

    References:
        Implicit Reparameterization Gradients (Figurnov, Mohamed, Mnih, 2018),
        https://arxiv.org/abs/1805.08498
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, shape: Tensor) -> Tensor:
        z64, a = torch.broadcast_tensors(z.double(), shape.double())
        y = _start(z64, a)
        # the smaller of the two tails, as the other one rounds to 1
        below, target = z64 < 0, _log_lower(-z64.abs())
        for _ in range(_STEPS):
            tail = _tail(a, y.exp(), below).clamp(min=1e-300)
            # d log tail / dy is the density of y over the tail, up for the lower, down for the upper
            slope = (_log_density(a, y) - tail.log()).exp()
            y = y + torch.where(below, 1.0, -1.0) * (target - tail.log()) / slope
        return y.to(z.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        z, shape, y = ctx.saved_tensors
        a, y = torch.broadcast_tensors(shape.double(), y.double())
        x, below, h = y.exp(), z < 0, _STRIDE * a.sqrt()
        # (8 near - far) / 12 h: the terms of third order cancel, and what is left is of the order h^4
        near = _tail(a + h, x, below) - _tail(a - h, x, below)
        far = _tail(a + 2 * h, x, below) - _tail(a - 2 * h, x, below)
        change = torch.where(below, -1.0, 1.0) * (8 * near - far) / (12 * h)
        found = gradient * (change / _log_density(a, y).exp()).to(gradient.dtype)
        return None, found.sum_to_size(shape.shape)


def poisson(u: Tensor, rate: Tensor) -> Tensor:
    """The quantile of Poisson distributions at u: the least k for which P(X <= k) is at least u.

    By bisection, in double precision; none is above ``_MOST``.
    """
    low, high = (torch.full_like(u, end, dtype=torch.float64) for end in (0, _MOST))
    for _ in range(_BITS):
        middle = ((low + high) / 2).floor()
        enough = gammaincc(middle + 1, rate.double()) >= u
        low, high = torch.where(enough, low, middle + 1), torch.where(enough, middle, high)
    return high.to(u.dtype)


def _tail(a: Tensor, x: Tensor, below: Tensor) -> Tensor:
    return torch.where(below, gammainc(a, x), gammaincc(a, x))


def _log_density(a: Tensor, y: Tensor) -> Tensor:
    """Of the logarithm of a gamma number."""
    log_density: Tensor = a * y - y.exp() - gammaln(a)
    return log_density


def _log_lower(z: Tensor) -> Tensor:
    """The logarithm of the lower tail of a normal number.

    Of `torch.special`, ndtr is rough there and log_ndtr not for vmap.
    """
    log_tail: Tensor = (0.5 * erfc(-z / 2**0.5)).log()
    return log_tail


def _start(z: Tensor, a: Tensor) -> Tensor:
    """The approximation of Wilson and Hilferty; where that fails, that of the far lower tail."""
    root = 1 - 1 / (9 * a) + z / (3 * a.sqrt())
    tail = (_log_lower(z) + gammaln(a + 1)) / a
    return torch.where(root > 0.3, a.log() + 3 * root.clamp(min=0.3).log(), tail)
