"""Bits that depend on other values by way of a network."""

from __future__ import annotations

from torch import Tensor, nn

from lvmbench.distributions import Bernoulli
from lvmbench.networks.mlp import MLP


class ConditionalBernoulli(nn.Module):
    r"""Independent bits given a value: their logits are a network of that.

    .. math:: p(z|v) = \prod_d \operatorname{Bernoulli}(z_d; \operatorname{sigmoid} \ell_d(v))

    Arguments:
        source: The shape of what is given.
        target: The shape of z.
        hidden: The width of the hidden layers.
        layers: The number of hidden layers; without any, the logits are linear in v.

    Example:
        >>> import torch
        >>> ConditionalBernoulli((3,), (2,), hidden=16, layers=1)(torch.zeros(5, 7, 3)).mean.shape
        torch.Size([5, 7, 2])
    """

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int) -> None:
        super().__init__()
        self.network = MLP(source, target, hidden=hidden, layers=layers)
        self.event_dims = len(target)

    def forward(self, value: Tensor) -> Bernoulli:
        return Bernoulli(self.network(value), self.event_dims)
