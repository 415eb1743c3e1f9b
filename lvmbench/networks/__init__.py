"""The bodies of amortised components: one file each, chosen by the option ``network``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from torch import nn

from lvmbench.networks.conv import Conv
from lvmbench.networks.mlp import MLP
from lvmbench.networks.residual import Residual
from lvmbench.options import APART

Network = Annotated[Literal["mlp", "residual", "conv"], APART]
"""The names of the bodies."""

_BODIES: dict[str, Callable[..., nn.Module]] = {"mlp": MLP, "residual": Residual, "conv": Conv}


def network(
    body: Network, source: tuple[int, ...], target: tuple[int, ...], *, hidden: int, layers: int
) -> nn.Module:
    """A network from events of shape ``source`` to events of shape ``target``.

    Arguments:
        body: ``mlp`` (fully connected layers), ``residual`` (blocks with a way around each) or ``conv`` (convolutions, where
            one side is an image; raises `Refusal` where none is).
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
