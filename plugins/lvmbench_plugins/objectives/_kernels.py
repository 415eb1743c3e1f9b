"""Kernels, and the maximum mean discrepancy that they measure."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["imq", "rbf"]
"""Inverse multiquadric, or radial basis functions."""
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kernel(name: Kernel, a: Tensor, b: Tensor) -> Tensor:
    r"""The kernel of each pair of rows, ``(N, M)``, as a mean over several widths.

    :math:`C / (C + d^2)` or :math:`e^{-d^2 / C}` of the distance d, with :math:`C = 2 D s`: the mean squared distance of
    standard normal vectors of size D, times the scales s.
    """
    square = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)
    widths = 2 * a.shape[-1] * torch.tensor(SCALES, dtype=a.dtype, device=a.device)
    ratio = square.unsqueeze(-1) / widths
    return (torch.exp(-ratio) if name == "rbf" else 1 / (1 + ratio)).mean(-1)


def squared_mmd(name: Kernel, a: Tensor, b: Tensor) -> Tensor:
    r"""An estimate of the squared MMD of the distributions of rows, ``()``: unbiased, so that it may be below 0.

    .. math:: \frac{1}{N (N - 1)} \sum_{i \ne j} \left[k(a_i, a_j) + k(b_i, b_j)\right] - \frac{2}{N^2} \sum_{ij} k(a_i, b_j)

    Rows of one sample alone have no pairs among themselves; these terms are then left out.

    References:
        A Kernel Two-Sample Test (Gretton et al., 2012), https://jmlr.org/papers/v13/gretton12a.html
    """

    def within(rows: Tensor) -> Tensor:
        n = len(rows)
        # k(a, a) = 1 on the diagonal
        return (kernel(name, rows, rows).sum() - n) / max(1, n * (n - 1))

    return within(a) + within(b) - 2 * kernel(name, a, b).mean()
