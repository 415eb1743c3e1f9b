"""An autoregressive flow as prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from lvmbench import Count, DataSummary, DiagonalNormal, InvertibleFlow, LatentSpace, Prior, Refusal
from lvmbench.kernels.flows import AutoregressiveStep, affine, pushed

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class Autoregressive(Prior):
    r"""A prior whose coordinates are turned into noise step by step, each as the ones before it say.

    .. math:: \log p(z) = \log N(z_T; 0, I) + \sum_t \sum_i s_{ti}, \qquad
        z_t = \exp(s_t) \odot z_{t-1} + m_t, \qquad z_0 = z

    where coordinate :math:`i` of :math:`m_t, s_t` depends on the coordinates of :math:`z_{t-1}` before
    :math:`i` only; the order is reversed from step to step. The density, which training asks for, takes one
    pass of each step's network; sampling takes one, too, one coordinate after another.

    It is the inverse autoregressive flow, moved from the posterior to the prior: with :math:`u = z_T` as the
    latents, the prior is standard normal, the steps are those of the posterior, and the decoder is behind
    their inverse. The bound is the same.

    References:
        Variational Lossy Autoencoder (Chen et al., 2017), https://arxiv.org/abs/1611.02731;
        Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou, Murray, 2017),
        https://arxiv.org/abs/1705.07057

    Arguments:
        flows: The number of steps :math:`T`.
        hidden: The width of the two hidden layers of each step's network.

    Example:
        >>> from lvmbench import DataSummary
        >>> prior = Autoregressive(DataSummary((3,), "real", torch.zeros(3)), 2)
        >>> prior(None).log_prob(torch.zeros(5, 7, 2)).shape
        torch.Size([5, 7])
    """

    distribution = InvertibleFlow
    zeros: Tensor

    def __init__(self, data: DataSummary, latent: int, *, flows: Count = 4, hidden: Count = 128) -> None:
        super().__init__()
        if latent < 2:
            raise Refusal(
                "prior 'autoregressive' changes each latent as the ones before it say; a single latent has "
                "none: take a latent size of at least 2"
            )
        self.steps = nn.ModuleList(
            AutoregressiveStep(latent, 2, hidden=hidden, backwards=t % 2 == 1) for t in range(flows)
        )
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.zeros.shape[-1:]))

    def forward(self, model: LatentVariableModel) -> InvertibleFlow:
        to_noise = [step(None, affine) for step in self.steps]
        base = DiagonalNormal(self.zeros, self.zeros)
        return pushed(base, [t.inv for t in reversed(to_noise)], self.space.event_shape)
