"""The importance-weighted bound."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor

from lvmbench import Count, NonNegative, WeightObjective


@final
class Iwae(WeightObjective):
    r"""The importance-weighted bound, which tightens as :math:`K` grows and is the ELBO at :math:`K = 1`.

    .. math:: L_K(x) = E_{z_{1:K} \sim q(z|x)}\left[\log \frac1K \sum_k \frac{p(x, z_k)}{q(z_k|x)}\right]

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519

    Arguments:
        samples: The number of samples :math:`K`.
        warm_up: Epochs over which the weight of log p(z) - log q(z|x) rises from 0 to 1; 0 leaves it to the
            budget.

    Example:
        >>> Iwae(samples=50).samples
        50
    """

    evidence = True

    def __init__(self, *, samples: Count = 5, warm_up: NonNegative = 0.0) -> None:
        super().__init__()
        self.samples, self.warm_up = samples, warm_up

    def of_log_weights(self, log_w: Tensor) -> Tensor:
        # in logs: of weights hundreds of nats apart, the exponentials would under- or overflow
        return log_w.logsumexp(0) - math.log(len(log_w))
