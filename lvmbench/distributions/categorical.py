"""Independent choices among classes, as one-hot rows."""

from __future__ import annotations

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution, sum_event
from lvmbench.noise import Noise


class Categorical(Distribution):
    r"""Independent choices among :math:`C` classes, one for each group, as one-hot rows.

    Given by their logits.

    .. math:: \log p(x) = \sum_g \sum_c x_{gc} \log \operatorname{softmax}(\ell_g)_c

    Arguments:
        logits: The unnormalised log probabilities :math:`\ell`, ``(*batch, *groups, C)``.
        event_dims: How many of the last dimensions make one event, that of the classes included.

    Example:
        >>> p = Categorical(torch.zeros(3, 2, 5))
        >>> p.log_prob(torch.eye(5)[:2]).shape
        torch.Size([3])
    """

    traits = frozenset({"density", "mean", "relaxable", "units"})
    support = "one_hot"

    def __init__(self, logits: Tensor, event_dims: int = 2) -> None:
        self.logits = logits.log_softmax(-1)
        self.event_dims = event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        # a class of probability 0 that was not chosen adds nothing, also to the gradient
        chosen = torch.where(value == 0, 0.0, self.logits)
        return sum_event(value * chosen, self.event_dims)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        # Gumbel-max: the place of the largest perturbed logit is a draw of softmax(logits)
        chosen = (self.logits + noise.gumbel((samples, *self.logits.shape))).argmax(-1)
        value = one_hot(chosen, self.logits)
        return value, self.log_prob(value)

    @property
    def mean(self) -> Tensor:
        return self.logits.exp()

    def relaxations(
        self, noise: Noise, samples: int, temperature: Tensor | float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The largest of the perturbed logits is the value's.

        Given that, the others are Gumbel values below it.
        """
        shape = (samples, *self.logits.shape)
        perturbed = self.logits + noise.gumbel(shape)
        value = one_hot(perturbed.argmax(-1), self.logits).detach()
        # perturbed logits are -log of waiting times of rates pi, which add up to 1. The first to come has
        # waited at rate 1, whichever it is; each other one then waits on as if it had only begun
        waits = (-noise.gumbel(shape)).exp()  # exponential: -log(v)
        chosen = (waits * value).sum(-1, keepdim=True)
        other = -torch.where(value > 0, waits, waits * (-self.logits).exp() + chosen).log()
        return value, (perturbed / temperature).softmax(-1), (other / temperature).softmax(-1)

    @property
    def units(self) -> Categorical:
        return Categorical(self.logits, 1)


def one_hot(chosen: Tensor, like: Tensor) -> Tensor:
    """One-hot rows for classes, in the type and of the last dimension of another tensor.

    torch's own waits for the device.
    """
    classes = torch.arange(like.shape[-1], device=like.device)
    return (chosen.unsqueeze(-1) == classes).to(like.dtype)
