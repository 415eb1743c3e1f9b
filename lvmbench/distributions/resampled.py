"""A distribution of choices among proposals, by how well they fit a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.distributions.base import Distribution, closed
from lvmbench.noise import Noise

HALVINGS = 40
"""How often the interval that a threshold lies in is halved: from thousands of nats to less than rounding."""
D = TypeVar("D", bound=Distribution)


class Resampled(Distribution, Generic[D]):
    r"""One of :math:`N` proposals of a base distribution, chosen by its share of the acceptance.

    .. math:: z = z_k \text{ with probability } s_k = \frac{a_k}{\sum_j a_j}, \qquad
        a_j = \operatorname{sigmoid}(T + \log w_j), \quad w_j = \frac{f(z_j)}{q(z_j)}, \quad z_{1:N} \sim q

    where f is an unnormalised target and the threshold T such that a share :math:`\gamma` of the proposals is
    accepted, :math:`\sum_j a_j = \gamma N`. This is rejection sampling of proposals that all count, so that
    there is always one to take: as N grows, the law of z becomes that of what is accepted, in proportion to
    :math:`q(z)\, a(z)`. With :math:`\gamma = 1` it is q, and as :math:`\gamma` falls to 0 the shares become
    those of the weights, and the law that of sampling-importance-resampling.

    .. math:: \log \tilde q(z) = \log q(z_k) + \log N s_k

    comes with a draw. With the others as auxiliary variables, :math:`1 / \tilde q` is an unbiased estimate of
    one over the density of z, whatever the shares depend on; with the others drawn from q given z,
    :math:`\tilde q` is one of the density.

    References:
        Variational Rejection Sampling (Grover, Gummadi, Lazaro-Gredilla, Schuurmans, Ermon, 2018),
        https://arxiv.org/abs/1804.01712;
        Reinterpreting Importance-Weighted Autoencoders (Cremer, Morris, Duvenaud, 2017),
        https://arxiv.org/abs/1704.02916 (the density of a choice)

    Arguments:
        base: The distribution q of the proposals, of batch shape ``(B,)``; it has a density.
        log_target: :math:`\log f` of values ``(K, B, *event)``, ``(K, B)``.
        proposals: Their number :math:`N`.
        acceptance: The share :math:`\gamma` of them that is accepted.

    Example:
        >>> from lvmbench import DiagonalNormal, Stream
        >>> base = DiagonalNormal(torch.zeros(3, 2), torch.zeros(3, 2))
        >>> q = Resampled(base, DiagonalNormal(torch.ones(2), torch.zeros(2)).log_prob, 8, 0.5)
        >>> [tuple(part.shape) for part in q.sample_and_log_prob(Stream.seeded(0), 5)]
        [(5, 3, 2), (5, 3)]
    """

    traits = frozenset({"estimate", "proposals", "moving_proposals"})
    lent: ClassVar[Mapping[str, str]] = {"moving_proposals": "pathwise"}

    def __init__(
        self, base: D, log_target: Callable[[Tensor], Tensor], proposals: int, acceptance: float
    ) -> None:
        self.base, self.log_target = base, log_target
        self.proposals, self.acceptance = proposals, acceptance
        self.support = base.support

    @property
    def family(self) -> type[Distribution]:
        return closed(type(self), self.base.family)

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError(
            "the mean over proposals has no closed form; estimate_log_prob estimates it"
        )

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        z, log_q, log_w = self.propose(noise, samples)
        log_shares = self.log_shares(log_w)
        chosen = (log_shares + noise.gumbel(log_w.shape)).argmax(0, keepdim=True)
        log_density = log_q + log_shares + math.log(self.proposals)
        index = chosen[(..., *[None] * (z.dim() - log_w.dim()))]
        return _taken(z, index), _taken(log_density, chosen)

    def propose(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        """The proposals of ``K`` samples, ``(N, K, B, *event)``, with log q and the log weights,
        ``(N, K, B)``.
        """
        z, log_q = self.base.sample_and_log_prob(noise, self.proposals * samples)
        z, log_q, log_w = (
            part.unflatten(0, (-1, samples)) for part in (z, log_q, self.log_target(z) - log_q)
        )
        return z, log_q, log_w

    def estimate_log_prob(self, value: Tensor, noise: Noise) -> Tensor:
        own = self.base.log_prob(value)  # (..., B)
        lead = own.shape[:-1]
        others, log_q = self.base.sample_and_log_prob(noise, (self.proposals - 1) * lead.numel())
        other_w = (self.log_target(others) - log_q).unflatten(0, (-1, *lead))
        values = value.flatten(0, len(lead) - 1) if lead else value.unsqueeze(0)
        own_w = self.log_target(values).reshape(own.shape) - own
        share = self.log_shares(torch.cat([own_w.unsqueeze(0), other_w]))[0]
        return own + share + math.log(self.proposals)

    def log_shares(self, log_w: Tensor) -> Tensor:
        """The log of the chance of each of several proposals to be chosen, given their log weights
        ``(N, ...)``.
        """
        return logsigmoid(log_w + threshold(log_w, self.acceptance)).log_softmax(0)


def threshold(log_w: Tensor, acceptance: float) -> Tensor:
    """The T at which a share of proposals of log weights ``(N, ...)`` is accepted, ``(...)``.

    It carries the gradient of the solution, and that of nothing on the way to it.

    >>> torch.sigmoid(threshold(torch.tensor([0.0, 1.0, 5.0]), 0.4) + torch.tensor([0.0, 1.0, 5.0])).mean()
    tensor(0.4000)
    """
    if acceptance == 1:
        return torch.full_like(log_w[0], math.inf)
    given, odds = log_w.detach(), math.log(acceptance / (1 - acceptance))
    low, high = odds - given.amax(0), odds - given.amin(0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = (given + middle).sigmoid().mean(0) > acceptance
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    # sum_j a_j stays: T goes against the log weights, by how far each moves its acceptance; in logs, as all
    # of them may be all but 0 or 1
    moved = (logsigmoid(given + high) + logsigmoid(-given - high)).softmax(0)
    return high - (moved * (log_w - given)).sum(0)


def _taken(values: Tensor, index: Tensor) -> Tensor:
    """What an index of one in the first dimension says."""
    return torch.take_along_dim(values, index, 0).squeeze(0)
