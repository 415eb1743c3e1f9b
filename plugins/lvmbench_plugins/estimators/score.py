"""The score-function gradient (REINFORCE)."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from lvmbench import (
    Count,
    DataSummary,
    Estimate,
    Estimator,
    LatentSpace,
    LatentVariableModel,
    Noise,
    Objective,
    Probability,
    Terms,
    Varying,
    encoder,
)

Baseline = Literal["none", "leave_one_out", "moving_average", "network"]


@final
class Score(Estimator):
    r"""The score-function gradient, for any posterior whose density can be evaluated.

    .. math:: \nabla_\phi E_q[L] = E_q\left[\sum_k (L_k - b_k)\, \nabla_\phi \log q_\phi(z_k|x)
        + \nabla_\phi L\right]

    where :math:`L_k` is what :math:`z_k` changes of the bound :math:`L` of :math:`z_{1:K}`, and the baseline
    :math:`b_k` does not depend on :math:`z_k`. Where the bound is a mean over samples (the ELBO), :math:`L_k`
    is sample k's share of it, else all of :math:`L`; where it mixes the data of a batch, the sum over the
    batch, as each draw moves the bounds of all. With ``leave_one_out``, :math:`L_k - b_k` is :math:`L` minus
    the bound of the other :math:`K - 1` samples; for the ELBO that is the deviation from the mean of the
    others. ``moving_average`` holds L against its mean over earlier steps, ``network`` against a function of
    x that is trained along, by least squares; both are what they are where nothing trains.

    References:
        Simple Statistical Gradient-Following Algorithms (Williams, 1992), https://doi.org/10.1007/BF00992696;
        Neural Variational Inference and Learning in Belief Networks (Mnih, Gregor, 2014),
        https://arxiv.org/abs/1402.0030 (moving average, network);
        Buy 4 REINFORCE Samples, Get a Baseline for Free! (Kool, van Hoof, Welling, 2019),
        https://openreview.net/forum?id=r1lgTGL5DE

    Arguments:
        baseline: ``none`` (:math:`b_k = 0`), ``leave_one_out``, which needs an objective of two samples or
            more, ``moving_average`` or ``network``.
        decay: The share of the old value that a step leaves in the moving average.
        hidden: The width of the baseline network's hidden layer.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data, space = DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,))
        >>> sorted(Score(data, space, baseline="leave_one_out").requires)
        ['objective.multi_sample', 'posterior.density']
    """

    version = 2
    decay: Tensor
    total: Tensor
    weight: Tensor

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        baseline: Baseline = "none",
        decay: Varying[Probability] = 0.9,
        hidden: Count = 100,
    ) -> None:
        super().__init__()
        self.baseline = baseline
        self.register_buffer("decay", torch.tensor(decay), persistent=False)
        # the network is for data of one shape, and sequences are as long as the longest of a batch
        needs = {"leave_one_out": {"objective.multi_sample"}, "network": {"prior.fixed"}}
        self.requires = frozenset({"posterior.density"} | needs.get(baseline, set()))
        if baseline == "moving_average":
            self.register_buffer("total", torch.zeros(()))
            self.register_buffer("weight", torch.zeros(()))
        elif baseline == "network":
            self.network = encoder("mlp", data, (1,), hidden=hidden, layers=1)

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        terms = Terms(model, x, noise, objective.samples, pathwise=False)
        bound = objective(terms, kl_weight)
        expected = self._expected(x)
        signal = self._signal(objective, terms, bound, kl_weight, expected.detach()).detach()
        # the signal is a number: how the bound itself depends on the parameters is in the first term
        surrogate = bound + (signal * terms.log_q).sum(0)
        self._learn(bound.detach())
        return Estimate(self._with_loss(surrogate, bound.detach(), expected), bound)

    def _signal(
        self, objective: Objective, terms: Terms, bound: Tensor, kl_weight: Tensor | float, expected: Tensor
    ) -> Tensor:
        """L_k - b_k, ``(K, B)``, or ``(1, B)`` where it is the same for all samples."""
        if self.baseline == "leave_one_out":
            # for the ELBO (f_k - the mean of the others) / K, where f_k is the bound of sample k alone
            signal = bound - _values(objective, terms.leave_one_out(), kl_weight)
        elif objective.additive:
            # the bound is a mean: z_k moves one share in K of it, and is held against as much of the baseline
            signal = (_values(objective, terms.singles(), kl_weight) - expected) / terms.samples
        else:
            signal = (bound - expected).unsqueeze(0)
        return signal.sum(1, keepdim=True).expand_as(signal) if objective.batchwise else signal

    def _expected(self, x: Tensor) -> Tensor:
        """What the bound is expected to be, ``(B,)``."""
        if self.baseline == "network":
            found: Tensor = self.network(x).squeeze(-1)
            return found
        if self.baseline == "moving_average":
            # over the weight of what was seen, as Adam does: the average does not start from 0
            known = self.weight > 0
            return torch.where(known, self.total / torch.where(known, self.weight, 1.0), 0.0).expand(len(x))
        return x.new_zeros(len(x))

    def _learn(self, bound: Tensor) -> None:
        if self.baseline == "moving_average" and self.training:
            self.total.mul_(self.decay).add_((1 - self.decay) * bound.mean())
            self.weight.mul_(self.decay).add_(1 - self.decay)

    def _with_loss(self, surrogate: Tensor, bound: Tensor, expected: Tensor) -> Tensor:
        """The surrogate with the error of a baseline that is trained.

        No other weight has a gradient of it.
        """
        return surrogate - 0.5 * (bound - expected).square() if self.baseline == "network" else surrogate


@torch.no_grad()
def _values(objective: Objective, several: list[Terms], kl_weight: Tensor | float) -> Tensor:
    """The bounds of several terms, ``(K, B)``, as numbers."""
    return torch.stack([objective(terms, kl_weight) for terms in several])
