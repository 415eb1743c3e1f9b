"""Logistic regressions of bits on other bits, all at once, and the bit that tells most of each."""

from __future__ import annotations

import torch
from torch import Tensor


def regress(inputs: Tensor, bits: Tensor, allowed: Tensor, *, ridge: float, iterations: int) -> Tensor:
    r"""The weights ``(D, P)`` of a logistic regression for each of D bits, by accelerated gradient ascent.

    .. math:: \max_{w_d} \sum_n \log \operatorname{Bernoulli}(x_{nd}; \operatorname{sigmoid} w_d^\top h_n)
        - \tfrac{\lambda}{2} \|w_d\|^2

    from :math:`w = 0`, where each bit is fair. ``inputs`` h are ``(N, P)``, ``bits`` x are ``(N, D)``; where
    ``allowed``, ``(D, P)``, is false a weight stays 0. Each regression has steps of its own, so that what one
    bit comes to does not depend on the others. The ridge :math:`\lambda` keeps the weights of what is
    separable finite.

    References:
        Introductory Lectures on Convex Optimization: A Basic Course (Nesterov, 2004), section 2.2,
        https://doi.org/10.1007/978-1-4419-8853-9

    Example:
        >>> ones, bits = torch.ones(4, 1), torch.tensor([[1.0], [1.0], [1.0], [0.0]])
        >>> regress(ones, bits, torch.ones(1, 1), ridge=1e-6, iterations=10_000).sigmoid()
        tensor([[0.7500]])
    """
    allowed = allowed.to(inputs)
    # the largest eigenvalue of a quarter of H'H bounds the curvature, and its trace bounds that
    curvature = ridge + allowed @ inputs.square().sum(0).unsqueeze(1) / 4  # (D, 1)
    root = (ridge / curvature).sqrt()
    momentum = (1 - root) / (1 + root)
    weights = ahead = torch.zeros_like(allowed)
    for _ in range(iterations):
        errors = bits - (inputs @ ahead.mT).sigmoid()
        before, weights = weights, ahead + allowed * (errors.mT @ inputs - ridge * ahead) / curvature
        ahead = weights + momentum * (weights - before)
    return weights


def most_telling(inputs: Tensor, bits: Tensor, allowed: Tensor) -> Tensor:
    r"""For each bit, ``(N, D)``, the one of the ``allowed`` inputs, ``(N, P)``, that tells most of it.

    .. math:: \arg\max_p \sum_{a, b} \hat p(x_d = a, h_p = b)
        \log \frac{\hat p(x_d = a, h_p = b)}{\hat p(x_d = a)\, \hat p(h_p = b)}

    That is 1 in ``(D, P)``, all else 0; nothing is where none is allowed. The inputs are bits, too.

    References:
        Approximating Discrete Probability Distributions with Dependence Trees (Chow, Liu, 1968),
        https://doi.org/10.1109/TIT.1968.1054142

    Example:
        >>> inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> most_telling(inputs, inputs[:, 1:], torch.ones(1, 2))
        tensor([[0., 1.]])
    """
    found = _information(inputs.double(), bits.double()).masked_fill(allowed == 0, -torch.inf)
    best = torch.zeros_like(found).scatter_(1, found.argmax(1, keepdim=True), 1.0)
    return (best * (allowed != 0)).to(inputs)


def _information(inputs: Tensor, bits: Tensor) -> Tensor:
    """The mutual information of each bit and each input in nats, ``(D, P)``."""
    total = torch.zeros(bits.shape[1], inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    for x in (bits, 1 - bits):
        for h in (inputs, 1 - inputs):
            both = x.mT @ h / len(x)
            apart = x.mean(0).unsqueeze(1) * h.mean(0)
            total += torch.xlogy(both, torch.where(both > 0, both / apart, 1.0))
    return total
