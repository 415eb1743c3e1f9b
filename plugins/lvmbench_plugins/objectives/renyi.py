"""The variational Renyi bound."""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from pydantic import Field
from torch import Tensor

from lvmbench import Count, NonNegative, Refusal, Varying, WeightObjective

Order = Annotated[float, Field(allow_inf_nan=False)]


@final
class Renyi(WeightObjective):
    r"""The variational Renyi bound of order :math:`\alpha`, from :math:`K` samples.

    .. math:: L_{\alpha, K}(x) = E_{z_{1:K} \sim q(z|x)}\left[\frac{1}{1 - \alpha} \log \frac1K \sum_k
        \left(\frac{p(x, z_k)}{q(z_k|x)}\right)^{1 - \alpha}\right]

    The largest log weight is its limit for :math:`\alpha \to -\infty` (VR-max). It falls with :math:`\alpha`:
    :math:`\alpha = 0` is the importance-weighted bound, and at :math:`\alpha = 1` the limit is the ELBO. From
    0 to 1 it is a lower bound on log p(x) for every K. Below 0 it exceeds log p(x) as K grows, and above 1 it
    is below the ELBO in expectation of infinitely many samples only; these are not declared lower bounds.

    References:
        Renyi Divergence Variational Inference (Li, Turner, 2016), https://arxiv.org/abs/1602.02311

    Arguments:
        alpha: The order :math:`\alpha`.
        samples: The number of samples :math:`K`.
        bound: Whether to refuse an order that gives no lower bound.
        warm_up: Epochs over which the weight of log p(z) - log q(z|x) rises from 0 to 1; 0 leaves it to the
            budget.

    Example:
        >>> Renyi(alpha=0.5).lower_bound, Renyi(alpha=-1.0).lower_bound, Renyi(alpha=2.0).lower_bound
        (True, False, False)
    """

    alpha: Tensor

    def __init__(
        self,
        *,
        alpha: Varying[Order] = 0.5,
        samples: Count = 5,
        bound: bool = False,
        warm_up: NonNegative = 0.0,
    ) -> None:
        super().__init__()
        self.samples, self.warm_up = samples, warm_up
        self.register_buffer("alpha", torch.tensor(alpha), persistent=False)
        self.lower_bound = 0 <= alpha <= 1
        if bound and not self.lower_bound:
            raise Refusal(
                f"renyi of alpha {alpha:g} is no lower bound on log p(x); take alpha from 0 to "
                "1, or bound=false"
            )

    def of_log_weights(self, log_w: Tensor) -> Tensor:
        order = 1 - self.alpha
        # the quotient is 0 / 0 at order 0; its limit is the ELBO
        elbo = order == 0
        safe = torch.where(elbo, 1.0, order)
        bound = ((safe * log_w).logsumexp(0) - math.log(len(log_w))) / safe
        return torch.where(elbo, log_w.mean(0), bound)
