"""The bodies of amortised components: one file each, chosen by the option ``network``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from torch import nn

from lvmbench.networks.bernoulli import ConditionalBernoulli as ConditionalBernoulli
from lvmbench.networks.conv import Conv
from lvmbench.networks.mlp import MLP, GatedMLP, LeakyReluMLP, ReluMLP, TanhMLP
from lvmbench.networks.normal import ConditionalNormal as ConditionalNormal
from lvmbench.networks.partial import Partial
from lvmbench.networks.residual import Residual
from lvmbench.options import APART

if TYPE_CHECKING:
    from lvmbench.dataset import DataSummary

Network = Annotated[Literal["mlp", "tanh", "relu", "leaky_relu", "gated", "residual", "conv"], APART]
"""The names of the bodies."""
Mask = Annotated[bool, APART]
"""Whether an encoder is told which values were observed."""

_BODIES: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "tanh": TanhMLP,
    "relu": ReluMLP,
    "leaky_relu": LeakyReluMLP,
    "gated": GatedMLP,
    "residual": Residual,
    "conv": Conv,
}


def network(
    body: Network, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int
) -> nn.Module:
    """A network from events of shape ``source`` to events of shape ``target``.

    Arguments:
        body: ``mlp`` (fully connected layers with SiLU), the same with ``tanh``, ``relu``, ``leaky_relu`` or
            ``gated`` linear units, as papers have them, ``residual`` (blocks with a way around each) or
            ``conv`` (convolutions, where one side is an image; raises `Refusal` where none is).
        source: The shape of one input; leading dimensions are batch.
        target: The shape of one output.
        hidden: The width of the hidden layers; of ``conv``, 8 times the channels nearest to the image.
        layers: The number of hidden layers, of blocks, or of convolutions.

    Example:
        >>> import torch
        >>> network("mlp", (1, 8, 8), (2, 4), hidden=16, layers=1)(torch.zeros(5, 3, 1, 8, 8)).shape
        torch.Size([5, 3, 2, 4])
    """
    return _BODIES[body](source, target, hidden=hidden, layers=layers)


def encoder(
    body: Network, data: DataSummary, target: tuple[int, ...], *, hidden: int, layers: int, mask: bool = False
) -> nn.Module:
    """A network from data to events of shape ``target``, which reads the training mean
    where nothing was observed.

    Arguments:
        body: As of `network`.
        data: What the data are like.
        target: The shape of one output.
        hidden: As of `network`.
        layers: As of `network`.
        mask: Whether it reads also which values were observed; where all were, that changes nothing.

    Example:
        >>> import torch
        >>> from lvmbench import DataSummary
        >>> data = DataSummary((3,), "real", torch.zeros(3), complete=False)
        >>> encoder("mlp", data, (2, 4), hidden=16, layers=1)(torch.tensor([[0.5, torch.nan, 1.0]])).shape
        torch.Size([1, 2, 4])
    """
    if data.complete:
        return network(body, data.event_shape, target, hidden=hidden, layers=layers)
    source = (2, *data.event_shape) if mask else data.event_shape
    return Partial(network(body, source, target, hidden=hidden, layers=layers), data.mean, mask=mask)
