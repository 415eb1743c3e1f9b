"""Binary variables, each of which depends on those before it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lvmbench.distributions.base import Distribution
from lvmbench.noise import Noise


class AutoregressiveBernoulli(Distribution):
    r"""Binary variables in an order: the logit of each is linear in those before it.

    .. math:: \log p(x) = \sum_d x_d \ell_d - \log(1 + e^{\ell_d}), \qquad
        \ell_d = b_d + \sum_{e < d} W_{de}\, x_e

    A draw takes as many steps as there are variables, a density one product of matrices.

    References:
        Connectionist Learning of Belief Networks (Neal, 1992), https://doi.org/10.1016/0004-3702(92)90065-6;
        Graphical Models for Machine Learning and Digital Communication (Frey, 1998),
        https://mitpress.mit.edu/9780262062022

    Arguments:
        logits: The log odds :math:`b` of each where all before it are 0, ``(*batch, *event)``.
        weight: The weights :math:`W`, ``(D, D)``, for the event as D variables in a row; what is on the
            diagonal and above it does not count.
        event_dims: How many of the last dimensions make one event.

    Example:
        >>> p = AutoregressiveBernoulli(torch.zeros(3, 8, 8), torch.ones(64, 64), event_dims=2)
        >>> p.log_prob(torch.ones(5, 3, 8, 8)).shape
        torch.Size([5, 3])
    """

    traits = frozenset({"density"})
    support = "binary"

    def __init__(self, logits: Tensor, weight: Tensor, event_dims: int = 1) -> None:
        self.logits, self.weight, self.event_dims = logits, weight.tril(-1), event_dims

    def log_prob(self, value: Tensor) -> Tensor:
        bits = value.flatten(-self.event_dims)
        logits = self.logits.flatten(-self.event_dims) + bits @ self.weight.mT
        return (bits * logits - softplus(logits)).sum(-1)

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        shape = (samples, *self.logits.shape)
        u, bits = noise.uniform(shape).flatten(-self.event_dims), []
        logits = self.logits.flatten(-self.event_dims).expand(u.shape)
        for d in range(u.shape[-1]):
            bits.append((u[..., d] < logits[..., d].sigmoid()).to(u.dtype))
            logits = logits + bits[-1].unsqueeze(-1) * self.weight[:, d]
        value = torch.stack(bits, -1).reshape(shape)
        return value, self.log_prob(value)
