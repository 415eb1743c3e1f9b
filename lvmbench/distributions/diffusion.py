"""Diffusion: layers of values with more and more noise, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lvmbench.distributions.base import Distribution
from lvmbench.distributions.chain import Chain
from lvmbench.distributions.diagonal_normal import HALF_LOG_2PI, DiagonalNormal
from lvmbench.noise import Noise

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""From noisy values, ``(..., D)``, and their gamma, ``(...)``, to a guess of what they were without noise."""


def signal(gamma: Tensor) -> Tensor:
    r"""By what values are multiplied before noise is added, :math:`\alpha`; ``(..., 1)``, as beside them."""
    return (0.5 * logsigmoid(-gamma)).exp().unsqueeze(-1)


def log_noise(gamma: Tensor) -> Tensor:
    r"""The log of the scale of the noise, :math:`\log\sigma`; ``(..., 1)``, as beside the values."""
    return 0.5 * logsigmoid(gamma).unsqueeze(-1)


def log_rise(below: Tensor, above: Tensor) -> Tensor:
    r"""Of the noise-to-signal ratio :math:`e^\gamma` the share that is new since ``below``, as a log."""
    return torch.log(-torch.expm1(below - above))


class Noised(Distribution):
    r"""Layers of one value with more and more noise, side by side from the least to the most.

    .. math:: q(z_t) = N(z_t; \alpha_t x, \sigma_t^2 I), \qquad
        \alpha_t^2 = \operatorname{sigmoid}(-\gamma_t), \quad \sigma_t^2 = \operatorname{sigmoid}(\gamma_t)

    Each is the one before it with more noise: :math:`z_t / \alpha_t` is a random walk that begins at x, whose
    variance after t steps is the noise-to-signal ratio :math:`e^{\gamma_t}`. All steps are drawn at once.

    References:
        Variational Diffusion Models (Kingma, Salimans, Poole, Ho, 2021), https://arxiv.org/abs/2107.00630

    Arguments:
        x: The value :math:`x`, ``(*batch, D)``.
        gamma: :math:`\gamma_1 < \dots < \gamma_T`, ``(T,)``: minus the log signal-to-noise ratio of each
            layer.

    Example:
        >>> from lvmbench import Stream
        >>> q = Noised(torch.zeros(7, 3), torch.linspace(-5, 5, 4))
        >>> [tuple(part.shape) for part in q.sample_and_log_prob(Stream.seeded(0), 5)]
        [(5, 7, 12), (5, 7)]
    """

    traits = frozenset({"pathwise", "density", "noising"})

    def __init__(self, x: Tensor, gamma: Tensor) -> None:
        self.x, self.gamma = x, gamma

    @property
    def marginals(self) -> DiagonalNormal:
        """Each layer by itself, batch shape ``(*batch, T)``."""
        loc = signal(self.gamma) * self.x.unsqueeze(-2)
        return DiagonalNormal(loc, log_noise(self.gamma))

    def log_prob(self, value: Tensor) -> Tensor:
        walk = value.unflatten(-1, (len(self.gamma), -1)) / signal(self.gamma)
        walk, x = torch.broadcast_tensors(walk, self.x.unsqueeze(-2))
        steps = walk - torch.cat([x[..., :1, :], walk[..., :-1, :]], -2)
        return self._density(steps * (-self._log_step).exp())

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        size = (samples, *self.x.shape[:-1], len(self.gamma), self.x.shape[-1])
        epsilon = noise.normal(size)
        walk = self.x.unsqueeze(-2) + (self._log_step.exp() * epsilon).cumsum(-2)
        return (signal(self.gamma) * walk).flatten(-2), self._density(epsilon)

    @property
    def _log_step(self) -> Tensor:
        """The log scale of each step of the walk, ``(T, 1)``; the first begins without noise."""
        new = log_rise(self.gamma[:-1], self.gamma[1:])
        return 0.5 * (self.gamma + torch.cat([new.new_zeros(1), new])).unsqueeze(-1)

    def _density(self, epsilon: Tensor) -> Tensor:
        log_scale = self._log_step + 0.5 * logsigmoid(-self.gamma).unsqueeze(-1)
        return (-0.5 * epsilon.square() - log_scale - HALF_LOG_2PI).sum((-2, -1))


class Denoised(Chain):
    r"""The way back from noise: each layer given the one with more, by a guess of what there was without any.

    .. math:: p(z) = N(z_T; 0, I) \prod_{t > 1} q(z_{t-1} | z_t, x = \hat x(z_t; \gamma_t))

    with q as in `Noised`, of which :math:`q(z_{t-1} | z_t, x)` is normal: given both ends, the walk
    :math:`z_t / \alpha_t` has the mean :math:`x + e^{\gamma_{t-1} - \gamma_t} (z_t / \alpha_t - x)`.

    References:
        Denoising Diffusion Probabilistic Models (Ho, Jain, Abbeel, 2020), https://arxiv.org/abs/2006.11239;
        Variational Diffusion Models (Kingma, Salimans, Poole, Ho, 2021), https://arxiv.org/abs/2107.00630

    Arguments:
        denoise: :math:`\hat x`, of values ``(..., D)`` and their gamma ``(...)``.
        gamma: As of `Noised`.
        size: The size ``D`` of each layer.
        one_time: Whether the divergence from `Noised` is estimated at one random layer of each draw.

    Example:
        >>> p = Denoised(lambda z, gamma: 0 * z, torch.linspace(-5, 5, 4), 3)
        >>> p.log_prob(torch.zeros(5, 7, 12)).shape
        torch.Size([5, 7])
    """

    traits = Chain.traits | {"schedule"}
    first: DiagonalNormal

    def __init__(self, denoise: Denoiser, gamma: Tensor, size: int, *, one_time: bool = False) -> None:
        self.denoise, self.gamma, self.one_time = denoise, gamma, one_time
        zeros = gamma.new_zeros(size)
        back = [partial(self.before, gamma=gamma[t], below=gamma[t - 1]) for t in range(1, len(gamma))]
        super().__init__(DiagonalNormal(zeros, zeros), back[::-1], (size,) * len(gamma), top_down=True)

    def before(self, z: Tensor, gamma: Tensor, below: Tensor) -> DiagonalNormal:
        """The layer of gamma ``below`` given that of ``gamma``; both ``(...)``, z ``(..., D)``."""
        kept = (below - gamma).exp().unsqueeze(-1)
        loc = signal(below) * torch.lerp(self.denoise(z, gamma), z / signal(gamma), kept)
        return DiagonalNormal(loc, log_noise(below) + 0.5 * log_rise(below, gamma).unsqueeze(-1))

    def log_prob(self, value: Tensor) -> Tensor:
        layers = value.unflatten(-1, (len(self.gamma), -1))
        each = self._all_before(layers).log_prob(layers[..., :-1, :])
        return self.first.log_prob(layers[..., -1, :]) + each.sum(-1)

    def given(self, value: Tensor) -> list[Distribution]:
        each = self._all_before(value.unflatten(-1, (len(self.gamma), -1)))
        normals = zip(each.loc.unbind(-2), each.log_scale.unbind(-2), strict=True)
        return [*(DiagonalNormal(*one) for one in normals), self.first]

    def _all_before(self, layers: Tensor) -> DiagonalNormal:
        """Each layer but the last given the one above it, batch shape ``(..., T - 1)``:
        the guesses are made at once.
        """
        return self.before(layers[..., 1:, :], self.gamma[1:], self.gamma[:-1])
