"""What was observed: NaN in x means that this value was not."""

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
