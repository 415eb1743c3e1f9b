"""Linear dynamics as prior of a sequence."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from lvmbench import DataSummary, DiagonalNormal, LinearDynamics, LinearMove, MarkovPrior, Memory


@final
class LinearDynamicsPrior(MarkovPrior):
    r"""A chain of normals, each of which moves on linearly from the step before.

    .. math:: p(z) = N(z_1; m, \operatorname{diag} s^2) \prod_{t > 1} N(z_t; A z_{t-1} + b,
        \operatorname{diag} \sigma^2)

    With the decoder ``linear_gaussian`` it is the linear dynamical system: the posterior is known, by the
    Kalman smoother, and so is the density of the data.

    References:
        A New Approach to Linear Filtering and Prediction Problems (Kalman, 1960),
        https://doi.org/10.1115/1.3662552;
        A Unifying Review of Linear Gaussian Models (Roweis, Ghahramani, 1999),
        https://doi.org/10.1162/089976699300016674

    Arguments:
        transition: Whether :math:`A` is any matrix, or ``diagonal``, so that latents move on by themselves.
        floor: The smallest :math:`\log s` and :math:`\log\sigma`.

    Example:
        >>> from lvmbench import Stream
        >>> p = LinearDynamicsPrior(DataSummary((10, 3), "real", torch.zeros(10, 3), steps=10), 2)
        >>> p(None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 10, 2])
    """

    distribution = LinearDynamics

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        transition: Literal["full", "diagonal"] = "full",
        floor: float = -5.0,
    ) -> None:
        super().__init__(data, latent)
        self.floor = floor
        self.loc, self.log_scale = nn.Parameter(torch.zeros(latent)), nn.Parameter(torch.zeros(latent))
        start = 0.5 * torch.eye(latent)  # the past counts, and is forgotten
        self.transition = nn.Parameter(start if transition == "full" else start.diagonal().clone())
        self.bias, self.log_noise = nn.Parameter(torch.zeros(latent)), nn.Parameter(torch.zeros(latent))

    @property
    def move(self) -> LinearMove:
        """How each step follows from the one before."""
        first = DiagonalNormal(self.loc, self.log_scale.clamp(min=self.floor))
        diagonal = self.transition.dim() == 1
        weight = torch.diag_embed(self.transition) if diagonal else self.transition
        return LinearMove(first, weight, self.bias, self.log_noise.clamp(min=self.floor))

    def of(self, memory: Memory) -> LinearDynamics:
        return LinearDynamics(memory, self.move, self.along)

    def law(self, h: Tensor) -> DiagonalNormal:
        return self.move(h)
