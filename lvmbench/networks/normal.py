"""Normals that depend on other values by way of a network."""

from __future__ import annotations

from torch import Tensor, nn

from lvmbench.distributions import DiagonalNormal
from lvmbench.networks.mlp import MLP

LIMIT = 10.0
"""The largest log scale, up or down: in a chain of layers each may make the next one's larger."""


class ConditionalNormal(nn.Module):
    r"""A normal given a value: its mean and log scale are a network of that.

    .. math:: p(z|v) = N(z; \mu(v), \operatorname{diag} \sigma^2(v))

    Arguments:
        source: The shape of what is given.
        target: The shape of z.
        hidden: The width of the hidden layers.
        layers: The number of hidden layers.
        floor: The smallest log scale.

    Example:
        >>> import torch
        >>> ConditionalNormal((3,), (2,), hidden=16, layers=1)(torch.zeros(5, 7, 3)).mean.shape
        torch.Size([5, 7, 2])
    """

    def __init__(
        self,
        source: tuple[int, ...],
        target: tuple[int, ...],
        *,
        hidden: int,
        layers: int,
        floor: float = -LIMIT,
    ) -> None:
        super().__init__()
        self.network = MLP(source, (2, *target), hidden=hidden, layers=layers)
        self.event_dims, self.floor = len(target), floor

    def forward(self, value: Tensor) -> DiagonalNormal:
        free = DiagonalNormal.of(self.network(value), self.event_dims)
        return DiagonalNormal(free.loc, free.log_scale.clamp(self.floor, LIMIT), self.event_dims)
