"""Resampling: weighted particles are copied, each on average as often as its weight says."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lvmbench.noise import Noise

Scheme = Literal["multinomial", "stratified", "systematic"]


def ancestors(log_w: Tensor, noise: Noise, scheme: Scheme) -> Tensor:
    r"""Whose copy each of K particles becomes, ``(K, *batch)``, by log weights ``(K, *batch)``.

    .. math:: a_k = \min \Big\{i : \sum_{j \le i} w_j > u_k\Big\}, \qquad
        E\,|\{k : a_k = i\}| = K w_i, \qquad \sum_i w_i = 1

    Each :math:`u_k` is uniform on [0, 1) under ``multinomial``, on the k-th of K equal parts of that under
    ``stratified``, and at one place within each part under ``systematic``. The numbers of copies vary less
    from the first to the last. Nothing of this carries gradients.

    References:
        Comparison of Resampling Schemes for Particle Filtering (Douc, Cappé, Moulines, 2005),
        https://arxiv.org/abs/cs/0507025

    Example:
        >>> from lvmbench import Stream
        >>> ancestors(torch.tensor([0.0, -torch.inf, 0.0]), Stream.seeded(0), "systematic")
        tensor([0, 2, 2])
    """
    # in single precision the sums of many small weights would be off by as much as one of them
    weights = log_w.detach().double().softmax(0).movedim(0, -1)
    sums = weights.cumsum(-1)
    places = _places(log_w.shape, noise, scheme).movedim(0, -1).contiguous()
    found = torch.searchsorted(sums / sums[..., -1:], places, right=True)
    # NaN has no place, and a place that was rounded up to 1 is beyond the last
    return found.clamp(max=len(log_w) - 1).movedim(-1, 0)


def _places(shape: torch.Size, noise: Noise, scheme: Scheme) -> Tensor:
    """The numbers u, ``(K, *batch)``."""
    count, *batch = shape
    if scheme == "multinomial":
        return noise.uniform(shape).double()
    within = noise.uniform(shape if scheme == "stratified" else (1, *batch)).double()
    parts = torch.arange(count, device=within.device).reshape(-1, *[1] * len(batch))
    return (parts + within) / count


def copies(values: Tensor, index: Tensor) -> Tensor:
    """Of values ``(K, *batch, *event)`` those of the particles of these numbers, ``(K, *batch)``."""
    return values.take_along_dim(index.reshape(*index.shape, *[1] * (values.dim() - index.dim())), 0)


def effective_sample_size(log_w: Tensor) -> Tensor:
    r"""What log weights ``(K, *batch)`` are worth in particles of equal weight, ``(*batch)``:
    :math:`(\sum w)^2 / \sum w^2`.
    """
    return 1 / log_w.softmax(0).square().sum(0)
