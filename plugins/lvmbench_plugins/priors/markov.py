"""A nonlinear Markov chain as prior of a sequence: that of the deep Markov model."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lvmbench import Count, DataSummary, DiagonalNormal, MarkovPrior, network


@final
class Markov(MarkovPrior):
    r"""A chain of normals with a gated transition: of each latent a gate decides how far its move is linear.

    .. math:: p(z_t | z_{t-1}) = N(z_t; \mu, \operatorname{diag} \sigma^2), \qquad
        \mu = (1 - g) \odot (W z_{t-1} + b) + g \odot n, \qquad
        \sigma^2 = \operatorname{softplus}(V \operatorname{relu}(n) + c)

    where :math:`g = \operatorname{sigmoid}(f(z_{t-1}))` and :math:`n`, the proposed move, are networks of the
    step before; :math:`p(z_1)` is a normal of its own. With the posterior ``smoothing`` it is the deep Markov
    model.

    References:
        Structured Inference Networks for Nonlinear State Space Models (Krishnan, Shalit, Sontag, 2017),
        https://arxiv.org/abs/1609.09869

    Arguments:
        hidden: The width of the hidden layer of both networks.
        floor: The smallest :math:`\log\sigma`. Without one, a step that is all but a function of the one
            before grows ever more certain, until densities overflow.

    Example:
        >>> from lvmbench import Stream
        >>> p = Markov(DataSummary((10, 3), "real", torch.zeros(10, 3), steps=10), 2)
        >>> p(None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 10, 2])
    """

    def __init__(self, data: DataSummary, latent: int, *, hidden: Count = 64, floor: float = -5.0) -> None:
        super().__init__(data, latent)
        self.floor = floor
        self.loc, self.log_scale = nn.Parameter(torch.zeros(latent)), nn.Parameter(torch.zeros(latent))
        self.gate = network("relu", (latent,), (latent,), hidden=hidden, layers=1)
        self.proposal = network("relu", (latent,), (latent,), hidden=hidden, layers=1)
        self.linear, self.spread = nn.Linear(latent, latent), nn.Linear(latent, latent)
        nn.init.eye_(self.linear.weight)  # at first a step goes on from where the one before was
        nn.init.zeros_(self.linear.bias)

    def law(self, h: Tensor) -> DiagonalNormal:
        z, begins = h[..., :-1], h[..., -1:] > 0
        move = self.proposal(z)
        loc = torch.lerp(self.linear(z), move, self.gate(z).sigmoid())
        variance = softplus(self.spread(move.relu())).clamp(min=math.exp(2 * self.floor))
        first = self.log_scale.clamp(min=self.floor)
        return DiagonalNormal(
            torch.where(begins, self.loc, loc), torch.where(begins, first, variance.log() / 2)
        )
