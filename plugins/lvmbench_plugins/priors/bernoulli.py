"""The prior of independent bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

from lvmbench import Bernoulli, DataSummary, LatentSpace, Prior

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class BernoulliPrior(Prior):
    r"""Independent bits, fair at first.

    .. math:: p(z) = \prod_d \pi_d^{z_d} (1 - \pi_d)^{1 - z_d}

    References:
        Neural Variational Inference and Learning in Belief Networks (Mnih, Gregor, 2014), https://arxiv.org/abs/1402.0030

    Arguments:
        learned: Whether the probabilities :math:`\pi_d` are trained, or stay at one half.

    Example:
        >>> from lvmbench import DataSummary
        >>> BernoulliPrior(DataSummary((3,), "real", torch.zeros(3)), 4).space.size
        16
    """

    distribution = Bernoulli

    def __init__(self, data: DataSummary, latent: int, *, learned: bool = False) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(latent), requires_grad=learned)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.logits.shape[-1:]), "binary")

    def forward(self, model: LatentVariableModel) -> Bernoulli:
        return Bernoulli(self.logits)
