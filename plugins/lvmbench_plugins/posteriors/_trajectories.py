"""Where Hamiltonian trajectories end that begin at samples of a normal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from lvmbench import DiagonalNormal, Distribution, Noise
from lvmbench.kernels.hmc import Density, leapfrog

Velocity = Callable[[Tensor], DiagonalNormal]
"""From z, ``(..., B, *z)``, to the law of a velocity there."""


class Iteration(NamedTuple):
    """A trajectory of so many leapfrog ``steps``.

    ``forth`` has the law of the velocity where it begins, and ``back`` that where it ends, each given z,
    ``(..., B, *z)``; ``step`` has the step size of each coordinate, ``(B, *z)``.
    """

    forth: Velocity
    back: Velocity
    step: Tensor
    steps: int


class Trajectories(Distribution):
    r"""Where the trajectories of Hamiltonian dynamics end that begin at samples of a normal.

    .. math:: \log \tilde q(z_T, v) = \log q(z_0) + \sum_t \log q(v_t|z_{t-1}) - \log r(v_t'|z_t), \qquad
        (z_t, v_t') = \mathrm{leapfrog}(z_{t-1}, v_t)

    As the leapfrog keeps volume, :math:`1 / \tilde q` is an unbiased estimate of :math:`1 / q(z_T)`, and with
    velocities that r draws, followed back from :math:`z_T`, :math:`\tilde q` is one of :math:`q(z_T)`.

    Arguments:
        start: The law of :math:`z_0`.
        target: What the leapfrog follows.
        iterations: The trajectories, one after the other.

    Example:
        >>> import torch
        >>> from lvmbench import Stream
        >>> start = DiagonalNormal(torch.zeros(3, 2), torch.zeros(3, 2))
        >>> standard = lambda z: DiagonalNormal(torch.zeros_like(z), torch.zeros_like(z))
        >>> target = Density(lambda z: -0.5 * z.square().sum(-1))
        >>> q = Trajectories(start, target, [Iteration(standard, standard, torch.full((3, 2), 0.1), 4)])
        >>> [tuple(part.shape) for part in q.sample_and_log_prob(Stream.seeded(0), 5)]
        [(5, 3, 2), (5, 3)]
    """

    traits = frozenset({"pathwise", "estimate"})

    def __init__(self, start: DiagonalNormal, target: Density, iterations: Sequence[Iteration]) -> None:
        self.start, self.target, self.iterations = start, target, iterations

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("the integral over velocities has no closed form; use estimate_log_prob")

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        z, log_q = self.start.sample_and_log_prob(noise, samples)
        place = self.target.at(z)
        for forth, back, step, steps in self.iterations:
            v, log_forth = (part[0] for part in forth(place.z).sample_and_log_prob(noise, 1))
            place, v = leapfrog(self.target, place, v, step.unsqueeze(0), steps)
            log_q = log_q + log_forth - back(place.z).log_prob(v)
        return place.z, log_q

    def estimate_log_prob(self, value: Tensor, noise: Noise) -> Tensor:
        place, log_ratio = self.target.at(value), value.new_zeros(())
        for forth, back, step, steps in reversed(self.iterations):
            v, log_back = (part[0] for part in back(place.z).sample_and_log_prob(noise, 1))
            place, v = leapfrog(self.target, place, -v, step.unsqueeze(0), steps)
            log_ratio = log_ratio + forth(place.z).log_prob(-v) - log_back
        return self.start.log_prob(place.z) + log_ratio
