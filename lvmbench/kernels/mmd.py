"""The maximum mean discrepancy of two samples, and the kernels that it is measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor], Tensor]
"""From rows ``(N, D)`` and ``(M, D)`` to the kernel of each pair, ``(N, M)``.

Of a row with itself it is 1.
"""
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def imq(a: Tensor, b: Tensor) -> Tensor:
    r"""The inverse multiquadric kernel of each pair of rows, ``(N, M)``, as a mean over several widths.

    .. math:: k(a, b) = \frac{1}{|S|} \sum_{s \in S} \frac{C_s}{C_s + \|a - b\|^2}, \qquad C_s = 2 D s

    :math:`2 D`, the width of the paper, is the mean squared distance of two standard normal vectors of size
    D; :math:`S` are scales around it, so that no choice of one width decides what is seen.

    References:
        Wasserstein Auto-Encoders (Tolstikhin, Bousquet, Gelly, Schoelkopf, 2018),
        https://arxiv.org/abs/1711.01558

    Example:
        >>> imq(torch.zeros(1, 2), torch.zeros(3, 2))
        tensor([[1., 1., 1.]])
    """
    return (1 / (1 + _ratios(a, b))).mean(-1)


def rbf(a: Tensor, b: Tensor) -> Tensor:
    r"""The Gaussian kernel of each pair of rows, ``(N, M)``, as a mean over the widths of `imq`.

    .. math:: k(a, b) = \frac{1}{|S|} \sum_{s \in S} e^{-\|a - b\|^2 / C_s}

    Example:
        >>> rbf(torch.zeros(1, 2), torch.zeros(3, 2))
        tensor([[1., 1., 1.]])
    """
    return torch.exp(-_ratios(a, b)).mean(-1)


Name = Literal["imq", "rbf"]
"""The names of the kernels of several widths: inverse multiquadric, or radial basis functions."""
KERNELS: Mapping[Name, Kernel] = {"imq": imq, "rbf": rbf}


def _ratios(a: Tensor, b: Tensor) -> Tensor:
    """The squared distance of each pair of rows in units of each width, ``(N, M, S)``."""
    # from differences: squares of rows less their products would lose what is near, and may be below 0
    square = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1)
    # one by one: a tensor of widths would be carried to a GPU at each call, which must then wait for it
    return torch.stack([square / (2 * a.shape[-1] * scale) for scale in SCALES], -1)


def gaussian(width: float) -> Kernel:
    r"""The Gaussian kernel of one width, :math:`e^{-\|a - b\|^2 / 2 w^2}`.

    Example:
        >>> gaussian(1.0)(torch.zeros(1, 2), torch.tensor([[0.0, 2.0]]))
        tensor([[0.1353]])
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # cdist keeps no (N, M, D) of differences, for which many points of many values leave no room
        distances = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-0.5 * (distances / width) ** 2)

    return kernel


def squared_mmd(kernel: Kernel, a: Tensor, b: Tensor) -> Tensor:
    r"""An estimate of the squared MMD of the distributions of rows, ``()``:
    unbiased, so that it may be below 0.

    .. math:: \frac{1}{N (N - 1)} \sum_{i \ne j} k(a_i, a_j) + \frac{1}{M (M - 1)} \sum_{i \ne j} k(b_i, b_j)
        - \frac{2}{N M} \sum_{ij} k(a_i, b_j)

    A sample of a single row has no pairs within it; its term is then left out.

    References:
        A Kernel Two-Sample Test (Gretton et al., 2012), https://jmlr.org/papers/v13/gretton12a.html

    Arguments:
        kernel: The kernel, whose value for a row with itself is 1.
        a: Rows of one sample, ``(N, D)``.
        b: Rows of the other, ``(M, D)``.

    Example:
        >>> near, far = torch.tensor([[0.0], [1.0]]), torch.tensor([[90.0], [91.0]])
        >>> squared_mmd(gaussian(1.0), near, far)
        tensor(1.2131)
    """
    return _within(kernel, a) + _within(kernel, b) - 2 * kernel(a, b).mean()


def _within(kernel: Kernel, rows: Tensor) -> Tensor:
    """The mean over pairs of different rows."""
    n = len(rows)
    # a row with itself is no pair of independent draws: the n ones of the diagonal would bias the mean
    return (kernel(rows, rows).sum() - n) / max(1, n * (n - 1))
