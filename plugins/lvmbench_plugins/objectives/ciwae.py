"""Between the ELBO and the importance-weighted bound."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from lvmbench import Count, Probability, Varying, WeightObjective


@final
class Ciwae(WeightObjective):
    r"""A weighted mean of the ELBO and of the importance-weighted bound of the same samples.

    .. math:: L(x) = \beta\, \frac1K \sum_k \log w_k + (1 - \beta) \log \frac1K \sum_k w_k

    References:
        Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018), https://arxiv.org/abs/1802.04537

    Arguments:
        beta: The weight :math:`\beta` of the ELBO.
        samples: The number of samples :math:`K`.

    Example:
        >>> Ciwae(beta=0.5, samples=8).lower_bound
        True
    """

    beta: Tensor

    def __init__(self, *, beta: Varying[Probability] = 0.5, samples: Count = 5) -> None:
        super().__init__()
        self.samples = samples
        self.register_buffer("beta", torch.tensor(beta), persistent=False)

    def of_log_weights(self, log_w: Tensor) -> Tensor:
        iwae = log_w.logsumexp(0) - math.log(len(log_w))
        return self.beta * log_w.mean(0) + (1 - self.beta) * iwae
