"""The largest log weight."""

from __future__ import annotations

from typing import final

from torch import Tensor

from lvmbench import Count, WeightObjective


@final
class VrMax(WeightObjective):
    r"""The largest of :math:`K` log weights, the limit of the Renyi bound for :math:`\alpha \to -\infty`.

    .. math:: L(x) = E_{z_{1:K} \sim q(z|x)}\left[\max_k \log \frac{p(x, z_k)}{q(z_k|x)}\right]

    Only one sample has a gradient; where several are the largest to the last digit, each has an equal share
    of it. It is no lower bound: with many samples it exceeds log p(x).

    References:
        Renyi Divergence Variational Inference (Li, Turner, 2016), https://arxiv.org/abs/1602.02311

    Arguments:
        samples: The number of samples :math:`K`.

    Example:
        >>> VrMax(samples=50).lower_bound
        False
    """

    provides = frozenset({"log_weights"})
    lower_bound = False

    def __init__(self, *, samples: Count = 5) -> None:
        super().__init__()
        self.samples = samples

    def of_log_weights(self, log_w: Tensor) -> Tensor:
        # amax, as max would give one of equal samples all of the gradient
        return log_w.amax(0)
