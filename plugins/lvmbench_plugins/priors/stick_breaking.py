"""The stick-breaking prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import torch
from torch import nn

from lvmbench import DataSummary, LatentSpace, Positive, Prior, Varying
from lvmbench.distributions import LogitBeta

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class StickBreaking(Prior):
    r"""Weights of a stick that is broken piece by piece, of which the first are the largest.

    .. math:: v_k \sim \mathrm{Beta}(1, \alpha_0), \qquad z_k = \operatorname{logit} v_k, \qquad
        \pi_k = v_k \prod_{j < k} (1 - v_j)

    The latents are the logits :math:`z_k`, which any posterior of real latents is for: with `kumaraswamy` it
    is the paper's Kumar-SB, with `gaussian` Logit-SB. The decoder reads the weights :math:`\pi`, the last of
    them being what remains of the stick, so that they add up to one; :math:`E \pi_k = \alpha_0^{k - 1} /
    (1 + \alpha_0)^k`.

    References:
        Stick-Breaking Variational Autoencoders (Nalisnick, Smyth, 2017), https://arxiv.org/abs/1605.06197

    Arguments:
        concentration: The concentration :math:`\alpha_0`: the larger, the more pieces share the stick.
        learned: Whether it is trained from there, or stays.

    Example:
        >>> from lvmbench import DataSummary
        >>> prior = StickBreaking(DataSummary((3,), "real", torch.zeros(3)), 4)
        >>> prior.space.event_shape, prior.space.visible.event_shape
        ((4,), (5,))
    """

    distribution = LogitBeta
    ones: torch.Tensor

    def __init__(
        self, data: DataSummary, latent: int, *, concentration: Varying[Positive] = 5.0, learned: bool = False
    ) -> None:
        super().__init__()
        start = torch.tensor(math.log(concentration))
        self.log_concentration = nn.Parameter(start, requires_grad=learned)
        self.register_buffer("ones", torch.ones(latent), persistent=False)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.ones.shape[-1:]), sticks=True)

    def forward(self, model: LatentVariableModel) -> LogitBeta:
        return LogitBeta(self.ones, self.log_concentration.exp())
