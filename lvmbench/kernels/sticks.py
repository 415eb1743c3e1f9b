"""Sticks that are broken piece by piece: weights that add up to one."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid, pad


def log_stick_weights(z: Tensor) -> Tensor:
    r"""The logs of the weights of a stick that is broken D times, by the logits of the fractions.

    .. math:: \pi_k = v_k \prod_{j < k} (1 - v_j), \qquad \pi_{D + 1} = \prod_{j \le D} (1 - v_j), \qquad
        v_k = \operatorname{sigmoid} z_k

    From ``(..., D)`` to ``(..., D + 1)``: the last weight is what remains.

    References:
        A Constructive Definition of Dirichlet Priors (Sethuraman, 1994), https://www.jstor.org/stable/24305538

    Example:
        >>> import torch
        >>> log_stick_weights(torch.zeros(3)).exp()
        tensor([0.5000, 0.2500, 0.1250, 0.1250])
    """
    left = logsigmoid(-z).cumsum(-1)  # what each piece leaves of the stick
    return pad(logsigmoid(z), (0, 1)) + pad(left, (1, 0))
