"""A diffusion as prior."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lvmbench import Count, DataSummary, Denoised, LatentSpace, Positive, Prior, Size, Varying
from lvmbench.networks import Network
from lvmbench.networks import network as build

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel

FREQUENCIES = (0.125, 0.25, 0.5, 1.0)
"""How fast the features turn with gamma, in radians: over the usual range by one turn and more."""


@final
class Diffusion(Prior):
    r"""From noise back to data in steps, by one network for all; the decoder reads the least noisy layer.

    .. math:: p(z) = N(z_T; 0, I) \prod_{t > 1} q(z_{t-1} | z_t, x = \hat x(z_t; \gamma_t)), \qquad
        q(z_t | x) = N(z_t; \alpha_t x, \sigma_t^2 I)

    with the signal-to-noise ratio :math:`\alpha_t^2 / \sigma_t^2 = e^{-\gamma_t}` and
    :math:`\alpha_t^2 + \sigma_t^2 = 1`. The schedule :math:`\gamma_1 < \dots < \gamma_T` is the prior's, and
    the posterior `noising` reads it. Against that posterior, which adds noise to x itself, the divergence is

    .. math:: \mathrm{KL}(q(z_T|x) \,\|\, p(z_T)) + \tfrac12 \sum_{t > 1} \left(e^{-\gamma_{t-1}} -
        e^{-\gamma_t}\right) E\, |x - \hat x(z_t; \gamma_t)|^2

    Other posteriors over layers learn what the steps are; the size of the layers is then free. All layers
    together are the latent size that tables have; the suite's has no say.

    References:
        Denoising Diffusion Probabilistic Models (Ho, Jain, Abbeel, 2020), https://arxiv.org/abs/2006.11239;
        Variational Diffusion Models (Kingma, Salimans, Poole, Ho, 2021), https://arxiv.org/abs/2107.00630
        (the schedules, and random times);
        Progressive Distillation for Fast Sampling of Diffusion Models (Salimans, Ho, 2022),
        https://arxiv.org/abs/2202.00512 (v)

    Arguments:
        steps: The number of layers :math:`T`.
        size: The size of each layer; that of a datum where it is not given.
        schedule: How :math:`\gamma_t` rises: ``linear``, ``cosine``, where :math:`\alpha_t` falls as the
            cosine of evenly spaced angles, or ``learned`` by the gradient of the bound, end points and all,
            from linear.
        signal: :math:`-\gamma_1`, the log signal-to-noise ratio of the layer that the decoder reads.
        noise: :math:`\gamma_T`, the log noise-to-signal ratio of the last layer, which p takes for noise.
        predict: What the network returns: ``v``, :math:`\hat x = \alpha_t z_t - \sigma_t v`; ``noise``,
            :math:`\hat x = (z_t - \sigma_t \epsilon) / \alpha_t`; ``x``, :math:`\hat x` itself.
        time: The layers at which a training step evaluates the network: ``all``, or one of them at random,
            times their number. By the second the divergence has the same mean and more noise, and a step
            takes no longer with more layers; it needs the divergence by draw of ``elbo[kl=analytic]``.
            Evaluation always sums over all.
        network: The body of the network, which is shared by all layers and told :math:`\gamma_t`: ``mlp`` or
            ``residual``.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary
        >>> p = Diffusion(DataSummary((8, 8), "binary", torch.zeros(8, 8)), 8, steps=10)
        >>> p.space.event_shape, p.space.visible.event_shape
        ((640,), (64,))
    """

    distribution = Denoised
    provides = frozenset({"top_down"})
    fixed: Tensor
    frequencies: Tensor

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        steps: Count = 10,
        size: Count | None = None,
        schedule: Literal["linear", "cosine", "learned"] = "linear",
        signal: Varying[Positive] = 4.0,
        noise: Varying[Positive] = 6.0,
        predict: Literal["v", "noise", "x"] = "v",
        time: Literal["all", "random"] = "all",
        network: Network = "residual",
        hidden: Count = 128,
        layers: Size = 2,
    ) -> None:
        super().__init__()
        self.steps, self.size = steps, size or math.prod(data.event_shape)
        self.predict, self.time = predict, time
        if time == "random":
            self.requires = frozenset({"posterior.noising", "objective.analytic_kl"})
        source = self.size + 2 * len(FREQUENCIES)
        self.network = build(network, (source,), (self.size,), hidden=hidden, layers=layers)
        gamma = (
            _cosine(steps, signal, noise) if schedule == "cosine" else torch.linspace(-signal, noise, steps)
        )
        self.register_buffer("fixed", gamma, persistent=False)
        self.register_buffer("frequencies", torch.tensor(FREQUENCIES), persistent=False)
        self.learned = nn.Parameter(_raw(gamma)) if schedule == "learned" else None

    @classmethod
    def latent_size(cls, latent: int, options: Mapping[str, Any], data: Callable[[], DataSummary]) -> int:
        size = options["size"] or math.prod(data().event_shape)
        return int(options["steps"] * size)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace.layered(*[self.size] * self.steps)

    @property
    def gamma(self) -> Tensor:
        """The schedule, ``(T,)``."""
        if self.learned is None:
            return self.fixed
        return torch.cat([self.learned[:1], softplus(self.learned[1:])]).cumsum(0)

    def denoise(self, z: Tensor, gamma: Tensor) -> Tensor:
        """The guess of x from values ``(..., D)`` with noise of gamma ``(...)``."""
        angles = gamma.unsqueeze(-1) * self.frequencies
        told = torch.cat([angles.sin(), angles.cos()], -1).expand(*z.shape[:-1], -1)
        found: Tensor = self.network(torch.cat([z, told], -1))
        alpha, sigma = (half.sigmoid().sqrt().unsqueeze(-1) for half in (-gamma, gamma))
        if self.predict == "v":
            return alpha * z - sigma * found
        return (z - sigma * found) / alpha if self.predict == "noise" else found

    def forward(self, model: LatentVariableModel) -> Denoised:
        one_time = self.training and self.time == "random"
        return Denoised(self.denoise, self.gamma, self.size, one_time=one_time)


def _cosine(steps: int, signal: float, noise: float) -> Tensor:
    """Gammas at evenly spaced angles, whose tangents are the ratios of noise to signal."""
    first, last = (math.atan(math.exp(gamma / 2)) for gamma in (-signal, noise))
    return 2 * torch.linspace(first, last, steps, dtype=torch.float64).tan().log().float()


def _raw(gamma: Tensor) -> Tensor:
    """The first of the gammas, and what softplus makes the rises of."""
    return torch.cat([gamma[:1], gamma.diff().expm1().log()])
