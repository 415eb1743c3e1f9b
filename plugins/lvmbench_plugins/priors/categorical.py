"""The prior of independent choices among classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

from lvmbench import Categorical, DataSummary, LatentSpace, Prior, Refusal, Size

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class CategoricalPrior(Prior):
    r"""Independent choices among :math:`C` classes, one for each group, equally likely at first.

    .. math:: p(z) = \prod_g \prod_c \pi_{gc}^{z_{gc}}

    The latent size is that of all groups together; one group makes the model a finite mixture.

    References:
        Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2017),
        https://arxiv.org/abs/1611.01144

    Arguments:
        classes: The number of classes :math:`C` of each group, which must divide the latent size; 0 for one
            group of all.
        learned: Whether the probabilities :math:`\pi_{gc}` are trained, or stay equal.

    Example:
        >>> from lvmbench import DataSummary
        >>> CategoricalPrior(DataSummary((3,), "real", torch.zeros(3)), 6, classes=3).space.event_shape
        (2, 3)
    """

    distribution = Categorical

    def __init__(self, data: DataSummary, latent: int, *, classes: Size = 0, learned: bool = False) -> None:
        super().__init__()
        classes = classes or latent
        if latent % classes:
            raise Refusal(
                f"prior 'categorical' needs a latent size that its classes divide, got latent size {latent} "
                f"and {classes} classes"
            )
        self.logits = nn.Parameter(torch.zeros(latent // classes, classes), requires_grad=learned)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.logits.shape[-2:]), "one_hot")

    def forward(self, model: LatentVariableModel) -> Categorical:
        return Categorical(self.logits)
