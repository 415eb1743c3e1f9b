"""The distribution of the logit of a Kumaraswamy variable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise

_NODES, _REACH = 96, 23.0
_LOW = -15.0
"""Below this an exponential is so small that two terms of its series are exact."""


class LogitKumaraswamy(Distribution):
    r"""Independent logits of Kumaraswamy variables.

    .. math:: z = \operatorname{logit} v, \quad v = (1 - u^{1/b})^{1/a}, \quad u \sim U(0, 1), \qquad
        \log q(z) = \log a b + a \log v + (b - 1) \log (1 - v^a) + \log (1 - v)

    All is computed of logits and logarithms of logarithms, as v itself would be rounded to 0 or 1. With
    a = 1 it is the logit of a Beta(1, b) variable, with b = 1 that of a Beta(a, 1) variable.

    References:
        A Generalized Probability Density Function for Double-Bounded Random Processes (Kumaraswamy, 1980),
        https://doi.org/10.1016/0022-1694(80)90036-0

    Arguments:
        log_a: :math:`\log a`, ``(*batch, *event)``.
        log_b: :math:`\log b`, broadcast to ``log_a``.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> uniform = LogitKumaraswamy(torch.zeros(1), torch.zeros(1))
        >>> uniform.log_prob(torch.zeros(1)).exp()
        tensor(0.2500)
    """

    traits = frozenset({"pathwise", "density", "mean", "units"})

    def __init__(self, log_a: Tensor, log_b: Tensor, event_dims: int = 1) -> None:
        self.log_a, self.log_b, self.event_dims = log_a, log_b.expand_as(log_a), event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        powered = _power(value, self.log_a)  # the logit of v^a
        each = self.log_a + self.log_b + logsigmoid(powered) + self.log_b.exp() * logsigmoid(-powered)
        # of v^a it is the density of a Beta(1, b) variable; the rest is the Jacobian of the power
        return sum_event(each + logsigmoid(-value) - logsigmoid(-powered), self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        # -log (1 - v^a) is an exponential variable over b, and the log of one is minus a Gumbel variable
        log_gap = -noise.gumbel((samples, *self.log_a.shape)) - self.log_b
        value = _power(_log_expm1(log_gap), -self.log_a)
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        log_v, excess = self.log_moments
        return log_v + (-self.log_b).exp() + self.log_a - excess

    @property
    def units(self) -> LogitKumaraswamy:
        return LogitKumaraswamy(self.log_a, self.log_b, 0)

    @property
    def log_moments(self) -> tuple[Tensor, Tensor]:
        r""":math:`E \log v`, and what :math:`E \log (1 - v)` is above :math:`-1/b - \log a`:
        nothing with a = 1; ``(*batch, *event)`` each.

        With :math:`w = 1 - v^a`, of the density :math:`b w^{b - 1}`,

        .. math:: E \log v = \frac1a E \log (1 - w), \qquad
            E \log (1 - v) + \frac1b + \log a = E \log \frac{a\, (1 - (1 - w)^{1/a})}{w}

        by trapezoids in logit w, where both integrands are analytic and fall off exponentially: exact to 1e-8
        for a and b from 1e-3 to 1e3. Their series in powers of v converge slowly, and for small b hardly.
        """
        log_a, log_b = self.log_a.unsqueeze(-1), self.log_b.unsqueeze(-1)
        logit, step = _nodes(log_a.detach(), log_b.detach())
        log_w, log_rest = logsigmoid(logit), logsigmoid(-logit)
        mass = step * (log_b + log_b.exp() * log_w + log_rest).exp()
        ratio = log_a + _log1mexp(_log_softplus(logit) - log_a) - log_w
        return (mass * log_rest).sum(-1) * (-self.log_a).exp(), (mass * ratio).sum(-1)


def _nodes(log_a: Tensor, log_b: Tensor) -> tuple[Tensor, Tensor]:
    """Where the integrals are evaluated, ``(..., N)``, and how far apart, ``(..., 1)``."""
    heavy = log_b.clamp(min=0)
    # on the left integrands fall off as (w / a) w^b at least, on the right as b (1 - w)
    left = -(_REACH + heavy + (-log_a).clamp(min=0)) / (1 + log_b.exp())
    step = (heavy + _REACH - left) / (_NODES - 1)
    return left + step * torch.arange(_NODES, dtype=log_a.dtype, device=log_a.device), step


def _power(z: Tensor, log_a: Tensor) -> Tensor:
    """The logit of ``sigmoid(z) ** a``."""
    return -_log_expm1(_log_softplus(-z) + log_a)


def _log_softplus(x: Tensor) -> Tensor:
    """``log(log(1 + exp(x)))``."""
    low = x < _LOW
    inside = -logsigmoid(-torch.where(low, 0.0, x))
    return torch.where(low, x - 0.5 * x.clamp(max=0).exp(), inside.log())


def _log_expm1(log_y: Tensor) -> Tensor:
    """``log(exp(y) - 1)`` by log y."""
    return log_y.exp() + _log1mexp(log_y)


def _log1mexp(log_y: Tensor) -> Tensor:
    """``log(1 - exp(-y))`` by log y."""
    y = log_y.clamp(min=_LOW, max=5).exp()  # above, it is 0
    # each form where it does not round
    near, far = (-torch.expm1(-y)).log(), torch.log1p(-(-y).exp())
    inside = torch.where(y < 0.7, near, far)
    return torch.where(log_y < _LOW, log_y - 0.5 * log_y.clamp(max=0).exp(), inside)
