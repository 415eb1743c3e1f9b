"""Sequential Monte Carlo: particles walk along sequences, weighed at each step and resampled between."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor

from lvmbench.distributions import Distribution
from lvmbench.kernels.resampling import Scheme, ancestors, copies, effective_sample_size
from lvmbench.noise import Noise

When = Literal["never", "always", "ess"]
Share = Annotated[float, Field(gt=0, le=1)]
"""A number above 0, up to 1."""


class Way(Protocol):
    """A model along a batch of B sequences of at most T steps, as `lvmbench.Walk` has it."""

    lasting: Tensor

    def start(self, samples: int) -> Tensor:
        """Where particles stand before the first step, ``(K, B, H)``."""

    def p(self, t: int, h: Tensor) -> Distribution:
        """The prior's law of the next step, batch shape ``(K, B)``."""

    def q(self, t: int, h: Tensor) -> Distribution:
        """The posterior's, batch shape ``(K, B)``."""

    def log_likelihood(self, t: int, z: Tensor, h: Tensor) -> Tensor:
        """log p(x_t | z_t, h), ``(K, B)``."""

    def advance(self, t: int, h: Tensor, z: Tensor) -> Tensor:
        """Where particles stand after the step, ``(K, B, H)``."""


@dataclass(frozen=True)
class Resampling:
    """When particles are resampled, and how.

    Arguments:
        when: Before each step, ``always``; ``never``; or where the weights are worth too few particles,
            ``ess``.
        threshold: The share of the particles that is too few.
        scheme: How ancestors are chosen.
    """

    when: When = "ess"
    threshold: float = 0.5
    scheme: Scheme = "multinomial"

    def due(self, log_w: Tensor) -> Tensor:
        """Where it is time to resample particles of log weights ``(K, B)``, ``(B,)``."""
        if self.when == "ess":
            return effective_sample_size(log_w.detach()) < self.threshold * len(log_w)
        return torch.full_like(log_w[0], self.when == "always", dtype=torch.bool)

    def resampled(self, h: Tensor, log_w: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of the particles of these numbers, ``(K, B)``: where they stand, and their log weights."""
        return copies(h, index), torch.full_like(log_w, -math.log(len(log_w)))


class Sweep(NamedTuple):
    r"""What particles have found, for each of T steps and B sequences, ``(T, B)``.

    Arguments:
        gains: :math:`\log \hat p(x_t|x_{<t})`, the log of the mean weight of a step; 0 after the end.
        log_choices: The log probability, given their weights, of the ancestors that were chosen before the
            step; 0 where none were.
    """

    gains: Tensor
    log_choices: Tensor

    @property
    def log_z(self) -> Tensor:
        r""":math:`\log \hat Z`, ``(B,)``; :math:`\hat Z` has the mean p(x)."""
        return self.gains.sum(0)

    def surrogate(self) -> Tensor:
        r"""What has the gradient of the mean of :math:`\log \hat Z`, ``(B,)``, also by way of the choices:

        .. math:: \log \hat Z + \sum_t \log P(a_t | W_{t-1}) \sum_{s \ge t} \log \hat p(x_s|x_{<s})

        where the inner sum, what came after a choice, carries no gradient.
        """
        later = self.gains.detach().flip(0).cumsum(0).flip(0)
        return self.log_z + (self.log_choices * later).sum(0)


def sweep(
    way: Way,
    noise: Noise,
    particles: int,
    resampling: Resampling,
    *,
    kl_weight: Tensor | float = 1.0,
    bootstrap: bool = False,
) -> Sweep:
    r"""Particles that walk along sequences, weighed at each step and resampled between.

    .. math:: \hat Z = \prod_t \sum_k W_{t-1}^k w_t^k, \qquad
        w_t^k = \frac{p(x_t|z_t^k, h_t^k)\, p(z_t^k|h_t^k)}{q(z_t^k|h_t^k, x)}, \qquad
        W_t^k = \frac{W_{t-1}^k w_t^k}{\sum_j W_{t-1}^j w_t^j}

    where resampling sets :math:`W` to :math:`1 / K`. Without it :math:`\hat Z` is the mean weight of K
    samples of all of z. Which ancestors are chosen carries no gradient. As many random numbers are drawn
    whatever weights and lengths are; a single particle needs none to choose its ancestor.

    References:
        Novel Approach to Nonlinear/Non-Gaussian Bayesian State Estimation (Gordon, Salmond, Smith, 1993),
        https://doi.org/10.1049/ip-f-2.1993.0015;
        Filtering Variational Objectives (Maddison et al., 2017), https://arxiv.org/abs/1705.09279

    Arguments:
        way: The model along the sequences.
        noise: Where random numbers come from.
        particles: The number of particles K.
        resampling: When particles are resampled, and how.
        kl_weight: The power of :math:`p(z_t|h_t) / q(z_t|h_t, x)` in weights.
        bootstrap: Whether particles follow the prior in place of the posterior.
    """
    h, z = way.start(particles), None
    log_w = h.new_full(h.shape[:2], -math.log(particles))
    gains: list[Tensor] = []
    choices: list[Tensor] = []
    for t, lasting in enumerate(way.lasting.unbind(-1)):
        choice = torch.zeros_like(log_w[0])
        if z is not None:
            h = way.advance(t - 1, h, z)
            if particles > 1 and resampling.when != "never":
                h, log_w, choice = _chosen(resampling, noise, h, log_w, lasting)
        z, told = _step(way, t, h, noise, kl_weight, bootstrap)
        log_w = log_w + torch.where(lasting, told, 0.0)
        gain = torch.where(lasting, log_w.logsumexp(0), 0.0)
        log_w = log_w - gain
        gains, choices = [*gains, gain], [*choices, choice]
    return Sweep(torch.stack(gains), torch.stack(choices))


def _chosen(
    resampling: Resampling, noise: Noise, h: Tensor, log_w: Tensor, lasting: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where particles stand, their log weights, and the log probability of what was chosen."""
    due = resampling.due(log_w) & lasting
    found = ancestors(log_w, noise, resampling.scheme)
    index = torch.where(due, found, torch.arange(len(log_w), device=h.device).unsqueeze(-1))
    choice = torch.where(due, log_w.take_along_dim(index, 0).sum(0), 0.0)
    there, equal = resampling.resampled(h, log_w, index)
    return there, torch.where(due, equal, log_w), choice


def _step(
    way: Way, t: int, h: Tensor, noise: Noise, kl_weight: Tensor | float, bootstrap: bool
) -> tuple[Tensor, Tensor]:
    """z_t, ``(K, B, Z)``, and its log weight, ``(K, B)``."""
    p = way.p(t, h)
    if bootstrap:
        z = p.sample(noise, 1)[0]
        return z, way.log_likelihood(t, z, h)
    z, log_q = (part[0] for part in way.q(t, h).sample_and_log_prob(noise, 1))
    return z, way.log_likelihood(t, z, h) + kl_weight * (p.log_prob(z) - log_q)
