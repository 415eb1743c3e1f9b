"""The standard normal prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from lvmbench import DataSummary, DiagonalNormal, LatentSpace, Prior

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class StandardNormal(Prior):
    r"""The standard normal prior, with nothing to learn.

    .. math:: p(z) = N(z; 0, I)

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114

    Example:
        >>> from lvmbench import DataSummary
        >>> StandardNormal(DataSummary((3,), "real", torch.zeros(3)), 2).space.event_shape
        (2,)
    """

    distribution = DiagonalNormal
    zeros: Tensor

    def __init__(self, data: DataSummary, latent: int) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.zeros.shape[-1:]))

    def forward(self, model: LatentVariableModel) -> DiagonalNormal:
        return DiagonalNormal(self.zeros, self.zeros)
