"""Continuous samples that stand for those of a discrete distribution."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.distributions.bernoulli import Bernoulli
from lvmbench.distributions.categorical import Categorical, one_hot
from lvmbench.noise import Noise


class Relaxed(Distribution):
    r"""Samples between the values of a discrete law, which carry gradients to its logits.

    The log density of a sample is the law's log mass, which is linear in the value, not the density of the
    relaxed samples: no bound is to be reported from them. Where the temperature falls to 0, the samples
    become those of the law.

    Arguments:
        law: The discrete distribution that they stand for.
        temperature: The temperature :math:`\tau`, ``()``.
    """

    def __init__(self, law: Bernoulli | Categorical, temperature: Tensor) -> None:
        self._law, self.temperature = law, temperature

    @abstractmethod
    def _soft(self, noise: Noise, samples: int) -> Tensor:
        """Relaxed samples, ``(K, *batch, *event)``."""

    @property
    def law(self) -> Distribution:
        return self._law

    def log_prob(self, value: Tensor) -> Tensor:
        return self._law.log_prob(value)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        value = self._soft(noise, samples)
        return value, self.log_prob(value)

    @property
    def units(self) -> Distribution:
        return self._law.units


class RelaxedBernoulli(Relaxed):
    r"""The binary concrete relaxation of independent binary variables.

    .. math:: z = \operatorname{sigmoid}\left(\frac{\ell - \operatorname{logit} u}{\tau}\right), \quad
        u \sim U(0, 1)

    Arguments:
        law: The binary variables, of logits :math:`\ell`.
        temperature: The temperature :math:`\tau`, ``()``.

    Example:
        >>> q = RelaxedBernoulli(Bernoulli(torch.zeros(3, 2)), torch.tensor(0.5))
        >>> q.law.mean.shape
        torch.Size([3, 2])
    """

    traits = frozenset({"pathwise", "units"})
    support = "binary"
    law_type = Bernoulli

    def _soft(self, noise: Noise, samples: int) -> Tensor:
        logits = self._law.logits
        u = noise.uniform((samples, *logits.shape))
        return ((logits - u.logit(torch.finfo(u.dtype).eps)) / self.temperature).sigmoid()


class RelaxedCategorical(Relaxed):
    r"""The Gumbel-softmax (concrete) relaxation of independent choices among classes.

    .. math:: z_g = \operatorname{softmax}\left(\frac{\ell_g + \epsilon_g}{\tau}\right), \quad
        \epsilon_{gc} \sim \mathrm{Gumbel}

    Arguments:
        law: The choices, of logits :math:`\ell`.
        temperature: The temperature :math:`\tau`, ``()``.

    Example:
        >>> q = RelaxedCategorical(Categorical(torch.zeros(3, 2, 5)), torch.tensor(0.5))
        >>> q.law.mean.shape
        torch.Size([3, 2, 5])
    """

    traits = frozenset({"pathwise", "units"})
    support = "one_hot"
    law_type = Categorical

    def _soft(self, noise: Noise, samples: int) -> Tensor:
        logits = self._law.logits
        return ((logits + noise.gumbel((samples, *logits.shape))) / self.temperature).softmax(-1)


class StraightThroughBernoulli(RelaxedBernoulli):
    """Genuine binary values with the gradients of their relaxation, which are not those of the values."""

    traits = RelaxedBernoulli.traits | {"straight_through"}

    def _soft(self, noise: Noise, samples: int) -> Tensor:
        soft = super()._soft(noise, samples)
        # soft - soft is 0 to the bit, so that values stay 0 and 1; it has the gradient of soft
        return (soft > 0.5).to(soft.dtype) + (soft - soft.detach())


class StraightThroughCategorical(RelaxedCategorical):
    """Genuine one-hot rows with the gradients of their relaxation, which are not those of the rows."""

    traits = RelaxedCategorical.traits | {"straight_through"}

    def _soft(self, noise: Noise, samples: int) -> Tensor:
        soft = super()._soft(noise, samples)
        return one_hot(soft.argmax(-1), soft) + (soft - soft.detach())
