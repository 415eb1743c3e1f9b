"""The mean of several importance-weighted bounds."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor

from lvmbench import Count, NonNegative, WeightObjective


@final
class Miwae(WeightObjective):
    r"""The mean over :math:`M` groups of the importance-weighted bound of each group's :math:`K` samples.

    .. math:: L_{M,K}(x) = E\left[\frac1M \sum_m \log \frac1K \sum_k \frac{p(x, z_{mk})}{q(z_{mk}|x)}\right]

    As tight as the bound of K samples, with gradients of less variance. Asked for a number of samples that
    its groups do not divide, it takes as many of them as divide both.

    References:
        Tighter Variational Bounds Are Not Necessarily Better (Rainforth et al., 2018),
        https://arxiv.org/abs/1802.04537

    Arguments:
        groups: The number of groups :math:`M`.
        size: The number of samples of a group :math:`K`.
        warm_up: Epochs over which the weight of log p(z) - log q(z|x) rises from 0 to 1; 0 leaves it to the
            budget.

    Example:
        >>> Miwae(groups=4, size=16).samples
        64
    """

    def __init__(self, *, groups: Count = 2, size: Count = 5, warm_up: NonNegative = 0.0) -> None:
        super().__init__()
        self.groups, self.samples, self.warm_up = groups, groups * size, warm_up

    def of_log_weights(self, log_w: Tensor) -> Tensor:
        # estimators ask for other numbers, too, as a baseline does that leaves one sample out
        each = log_w.unflatten(0, (math.gcd(self.groups, len(log_w)), -1))
        bound: Tensor = (each.logsumexp(1) - math.log(each.shape[1])).mean(0)
        return bound
