"""A distribution over a finite set of values."""

from __future__ import annotations

import torch
from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.noise import Noise


class Finite(Distribution):
    r"""A distribution over :math:`N` given values, each with a probability of its own.

    .. math:: \log p(x) = \log \pi_n \quad \text{where } x = v_n

    Arguments:
        values: The values :math:`v`, all different, ``(N, *event)``.
        logits: The unnormalised log probabilities :math:`\log\pi`, ``(*batch, N)``.

    Example:
        >>> p = Finite(torch.eye(3), torch.tensor([0.2, 0.3, 0.5]).log())
        >>> p.log_prob(torch.eye(3)[:2]).exp()
        tensor([0.2000, 0.3000])
    """

    traits = frozenset({"density", "mean", "enumerable"})
    support = "finite"

    def __init__(self, values: Tensor, logits: Tensor) -> None:
        self.values = values
        self.log_weights = logits.log_softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        flat = self.values.flatten(1)  # (N, D)
        given = value.flatten(value.dim() - self.values.dim() + 1)
        same = (given.unsqueeze(-2) == flat).all(-1)  # (..., *batch, N)
        return torch.where(same, self.log_weights, -torch.inf).amax(-1)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        shape = (samples, *self.log_weights.shape[:-1])
        u = noise.uniform((*shape, 1))
        # by rounding the last of the cumulative sums may be below u
        index = (u > self.log_weights.exp().cumsum(-1)).sum(-1).clamp(max=len(self.values) - 1)
        log_prob = self.log_weights.expand(*shape, -1).gather(-1, index.unsqueeze(-1)).squeeze(-1)
        return self.values[index], log_prob

    @property
    def mean(self) -> Tensor:
        flat = self.log_weights.exp() @ self.values.flatten(1)
        mean: Tensor = flat.unflatten(-1, self.values.shape[1:])
        return mean
