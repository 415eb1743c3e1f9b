"""A distribution whose density is an integral over auxiliary variables."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lvmbench.distributions.base import Distribution
from lvmbench.noise import Noise

Conditional = Callable[[Tensor], Distribution]
"""From values ``(..., *batch, *event)`` to a distribution of batch shape ``(..., *batch)``."""


class Marginal(Distribution):
    r"""A distribution with auxiliary variables :math:`a` that are integrated out.

    Its density is known by estimates alone.

    .. math:: q(z) = \int q(a)\, q(z|a)\, da, \qquad
        \log \tilde q(z, a) = \log q(a) + \log q(z|a) - \log r(a|z)

    With :math:`a` as z was drawn, :math:`1 / \tilde q` is an unbiased estimate of :math:`1 / q(z)`; with
    :math:`a \sim r(a|z)`, :math:`\tilde q` is one of :math:`q(z)`. Where the reverse model :math:`r(a|z)` is
    :math:`q(a|z)`, both are exact.

    Arguments:
        auxiliary: :math:`q(a)`, of batch shape ``*batch``.
        conditional: From a to :math:`q(z|a)`.
        reverse: From z to :math:`r(a|z)`.

    Example:
        >>> from lvmbench import DiagonalNormal, Stream
        >>> noisy = lambda value: DiagonalNormal(value, torch.zeros(()))
        >>> q = Marginal(DiagonalNormal(torch.zeros(3, 2), torch.zeros(3, 2)), noisy, noisy)
        >>> [tuple(part.shape) for part in q.sample_and_log_prob(Stream.seeded(0), 5)]
        [(5, 3, 2), (5, 3)]
    """

    traits = frozenset({"pathwise", "estimate"})

    def __init__(self, auxiliary: Distribution, conditional: Conditional, reverse: Conditional) -> None:
        self.auxiliary, self.conditional, self.reverse = auxiliary, conditional, reverse

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("the integral over a has no closed form; estimate_log_prob estimates it")

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        a, log_a = self.auxiliary.sample_and_log_prob(noise, samples)
        z, log_z = (part[0] for part in self.conditional(a).sample_and_log_prob(noise, 1))
        return z, log_a + log_z - self.reverse(z).log_prob(a)

    def estimate_log_prob(self, value: Tensor, noise: Noise) -> Tensor:
        a, log_r = (part[0] for part in self.reverse(value).sample_and_log_prob(noise, 1))
        return self.auxiliary.log_prob(a) + self.conditional(a).log_prob(value) - log_r
