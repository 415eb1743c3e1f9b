"""Distributions over equally spaced values, such as the levels of grey images and small counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise


class CategoricalLevels(Distribution):
    r"""Independent choices among :math:`L` equally spaced values, each with a probability of its own.

    .. math:: \log p(x) = \sum_d \log \operatorname{softmax}(\ell_d)_{x_d / s}

    Arguments:
        logits: The unnormalised log probabilities :math:`\ell` of the values 0, s, ..., (L - 1) s,
            ``(*batch, *event, L)``.
        step: How far they are apart, :math:`s`.
        event_dims: How many dimensions, without that of the levels, make one event.

    Example:
        >>> p = CategoricalLevels(torch.zeros(3, 8, 8, 17), 1 / 16, event_dims=2)
        >>> p.log_prob(torch.full((3, 8, 8), 0.5)) / 64
        tensor([-2.8332, -2.8332, -2.8332])
    """

    traits = frozenset({"density", "mean", "units"})
    support = "levels"

    def __init__(self, logits: Tensor, step: float, event_dims: int = 1) -> None:
        self.logits = logits.log_softmax(-1)
        self.step, self.event_dims = step, event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        level = (value / self.step).round().long().expand(shape).unsqueeze(-1)
        each = self.logits.expand(*shape, -1).gather(-1, level).squeeze(-1)
        return sum_event(each, self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        # Gumbel-max: the place of the largest perturbed logit is a draw of softmax(logits)
        level = (self.logits + noise.gumbel((samples, *self.logits.shape))).argmax(-1)
        value = level.to(self.logits.dtype) * self.step
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        levels = torch.arange(self.logits.shape[-1], device=self.logits.device).to(self.logits.dtype)
        return self.step * (self.logits.exp() * levels).sum(-1)

    @property
    def units(self) -> CategoricalLevels:
        return CategoricalLevels(self.logits, self.step, 0)


class DiscretizedLogisticMixture(Distribution):
    r"""Independent mixtures of logistic distributions, rounded to :math:`L` equally spaced values.

    .. math:: p(x) = \prod_d \sum_m \pi_{dm} \left(
        \operatorname{sigmoid}\Big(\frac{x_d + s/2 - \mu_{dm}}{\sigma_{dm}}\Big)
        - \operatorname{sigmoid}\Big(\frac{x_d - s/2 - \mu_{dm}}{\sigma_{dm}}\Big) \right)

    where the least value has all of the lower tail and the largest all of the upper one.

    References:
        PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
        Modifications (Salimans, Karpathy, Chen, Kingma, 2017), https://arxiv.org/abs/1701.05517

    Arguments:
        logits: The unnormalised log weights :math:`\log\pi`, ``(*batch, *event, M)``.
        loc: :math:`\mu`, of the same shape.
        log_scale: :math:`\log\sigma`, of the same shape.
        levels: The number :math:`L` of values 0, s, ..., (L - 1) s.
        step: How far they are apart, :math:`s`.
        event_dims: How many dimensions, without that of the components, make one event.

    Example:
        >>> one = torch.zeros(3, 8, 8, 1)
        >>> p = DiscretizedLogisticMixture(one, one, one - 2, levels=17, step=1 / 16, event_dims=2)
        >>> p.log_prob(torch.zeros(3, 8, 8)).shape
        torch.Size([3])
    """

    traits = frozenset({"density", "mean", "units"})
    support = "levels"

    def __init__(
        self, logits: Tensor, loc: Tensor, log_scale: Tensor, levels: int, step: float, event_dims: int = 1
    ) -> None:
        self.log_weights = logits.log_softmax(-1)
        self.loc, self.log_scale = loc, log_scale
        self.levels, self.step, self.event_dims = levels, step, event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        each = (self.log_weights + self._log_masses(value.unsqueeze(-1))).logsumexp(-1)
        return sum_event(each, self.event_dims)

    def _log_masses(self, value: Tensor) -> Tensor:
        """The log probability that each logistic is rounded to the value, of the shape of the components."""
        half = self.step / 2
        upper, lower = self._standard(value + half), self._standard(value - half)
        least, largest = value < half, value > self.step * (self.levels - 1.5)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): no difference is rounded to 0
        below = torch.where(largest, 0.0, logsigmoid(upper))
        above = torch.where(least, 0.0, logsigmoid(-lower))
        return below + above + torch.where(least | largest, 0.0, self._log_width)

    def _standard(self, value: Tensor | float) -> Tensor:
        return (value - self.loc) * (-self.log_scale).exp()

    @property
    def _log_width(self) -> Tensor:
        """log(1 - exp(-w)), where w is a step in units of the scale."""
        log_w = math.log(self.step) - self.log_scale
        small = log_w < -5
        far, near = torch.where(small, 1.0, log_w.exp()), torch.where(small, log_w, 0.0).exp()
        # where w is small by its series, as 1 - exp(-w) may be rounded to 0
        return torch.where(small, log_w - near / 2 + near**2 / 24, torch.log(-torch.expm1(-far)))

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        shape = (samples, *self.log_weights.shape)
        chosen = (self.log_weights + noise.gumbel(shape)).argmax(-1, keepdim=True)
        loc, log_scale = (t.expand(shape).gather(-1, chosen).squeeze(-1) for t in (self.loc, self.log_scale))
        u = noise.uniform(shape[:-1])
        drawn = loc + log_scale.exp() * u.logit(torch.finfo(u.dtype).eps)
        value = (drawn / self.step).round().clamp(0, self.levels - 1) * self.step
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        # the sum over the levels but the first of the chance to be there or above; one at a time, for memory
        total, weights = torch.zeros_like(self.loc[..., 0]), self.log_weights.exp()
        for level in range(1, self.levels):
            total = total + (weights * torch.sigmoid(-self._standard(self.step * (level - 0.5)))).sum(-1)
        return self.step * total

    @property
    def units(self) -> DiscretizedLogisticMixture:
        return DiscretizedLogisticMixture(
            self.log_weights, self.loc, self.log_scale, self.levels, self.step, event_dims=0
        )
