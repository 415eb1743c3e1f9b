"""What was observed: NaN in x means that this value was not, and so does where a sequence ends."""

from __future__ import annotations

import torch
from torch import Tensor


def observed(x: Tensor, fill: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """The values of x with ``fill``, broadcast to it, where nothing was observed,
    and the mask of what was, of the shape of x.

    Take the values first and mask what was made of them afterwards: a NaN that has entered a log density
    spoils its gradient, also where the density itself is masked.

    Example:
        >>> values, mask = observed(torch.tensor([1.0, torch.nan, 3.0]))
        >>> values, mask
        (tensor([1., 0., 3.]), tensor([ True, False,  True]))
    """
    mask = ~x.isnan()
    return torch.where(mask, x, fill), mask


def lasting(x: Tensor) -> Tensor:
    """Which steps belong to the sequences x ``(B, T, *frame)``: those up to the last one at which anything
    was observed, ``(B, T)``.

    A step without any value before that one is a hole, and belongs to its sequence.

    Example:
        >>> gap = torch.nan
        >>> lasting(torch.tensor([[[1.0], [2.0], [3.0]], [[gap], [2.0], [gap]]]))
        tensor([[ True,  True,  True],
                [ True,  True, False]])
    """
    return up_to_last(~x.isnan())


def ended(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences x ``(B, T, *frame)`` with 0 after the end of each, and which steps are before it, ``(B, T)``.

    Holes before the end stay what they are.

    Example:
        >>> gap = torch.nan
        >>> values, steps = ended(torch.tensor([[[1.0], [gap], [3.0]], [[1.0], [2.0], [gap]]]))
        >>> values[..., 0], steps[1]
        (tensor([[1., nan, 3.],
                [1., 2., 0.]]), tensor([ True,  True, False]))
    """
    steps = lasting(x)
    return torch.where(steps.reshape(*steps.shape, *[1] * (x.dim() - 2)), x, 0.0), steps


def up_to_last(seen: Tensor) -> Tensor:
    """Which steps of ``(B, T, *frame)`` are up to the last one at which anything is marked, ``(B, T)``."""
    left = seen.flatten(2).any(2).flip(1).cumsum(1).flip(1)  # how many marked steps are still to come
    return left > 0
