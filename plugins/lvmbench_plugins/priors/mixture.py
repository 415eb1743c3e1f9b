"""A learned mixture of normals as prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

from lvmbench import Count, DataSummary, DiagonalNormal, LatentSpace, Mixture, Positive, Prior, Varying

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class MixturePrior(Prior):
    r"""A learned mixture of :math:`C` diagonal normals.

    .. math:: p(z) = \sum_c \pi_c\, N(z; \mu_c, \operatorname{diag} \sigma_c^2)

    References:
        Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders (Dilokthanakul et al.,
        2016), https://arxiv.org/abs/1611.02648;
        VAE with a VampPrior (Tomczak, Welling, 2018), https://arxiv.org/abs/1705.07120

    Arguments:
        components: The number of components :math:`C`.
        spread: The standard deviation of the initial means :math:`\mu_c`.

    Example:
        >>> from lvmbench import DataSummary
        >>> prior = MixturePrior(DataSummary((3,), "real", torch.zeros(3)), 2, components=4)
        >>> prior(None).log_prob(torch.zeros(5, 7, 2)).shape
        torch.Size([5, 7])
    """

    distribution = Mixture[DiagonalNormal]

    def __init__(
        self, data: DataSummary, latent: int, *, components: Count = 10, spread: Varying[Positive] = 1.0
    ) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(spread * torch.randn(components, latent))
        self.log_scale = nn.Parameter(torch.zeros(components, latent))

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.loc.shape[-1:]))

    def forward(self, model: LatentVariableModel) -> Mixture[DiagonalNormal]:
        return Mixture(self.logits, DiagonalNormal(self.loc, self.log_scale))
