"""The score-function gradient (REINFORCE)."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Objective, Terms


@final
class Score(Estimator):
    r"""The score-function gradient, for any posterior whose density can be evaluated.

    .. math:: \nabla_\phi E_q[L] = E_q\left[\sum_k (L_k - b_k)\, \nabla_\phi \log q_\phi(z_k|x) + \nabla_\phi L\right]

    where :math:`L_k` is what :math:`z_k` changes of the bound :math:`L` of :math:`z_{1:K}`, and the baseline :math:`b_k` does
    not depend on :math:`z_k`. Where the bound is a mean over samples (the ELBO), :math:`L_k` is sample k's share of it, else
    all of :math:`L`. With ``leave_one_out``, :math:`L_k - b_k` is :math:`L` minus the bound of the other :math:`K - 1` samples;
    for the ELBO that is the deviation from the mean of the others.

    References:
        Simple Statistical Gradient-Following Algorithms (Williams, 1992), https://doi.org/10.1007/BF00992696;
        Buy 4 REINFORCE Samples, Get a Baseline for Free! (Kool, van Hoof, Welling, 2019),
        https://openreview.net/forum?id=r1lgTGL5DE

    Arguments:
        baseline: ``none`` (:math:`b_k = 0`) or ``leave_one_out``, which needs an objective of two samples or more.

    Example:
        >>> sorted(Score(baseline="leave_one_out").requires)
        ['objective.multi_sample', 'posterior.density']
    """

    def __init__(self, *, baseline: Literal["none", "leave_one_out"] = "none") -> None:
        super().__init__()
        self.baseline = baseline
        needs = {"none": set(), "leave_one_out": {"objective.multi_sample"}}[baseline]
        self.requires = frozenset({"posterior.density"} | needs)

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
        score = (self._signal(objective, terms, bound, kl_weight).detach() * terms.log_q).sum(0)
        return Estimate(surrogate=bound + score, bound=bound)

    def _signal(self, objective: Objective, terms: Terms, bound: Tensor, kl_weight: Tensor | float) -> Tensor:
        """L_k - b_k, ``(K, B)``, or ``(1, B)`` where it is the same for all samples."""
        if self.baseline == "leave_one_out":
            return bound - torch.stack([objective(others, kl_weight) for others in terms.leave_one_out()])
        if objective.additive:
            return torch.stack([objective(one, kl_weight) for one in terms.singles()]) / terms.samples
        return bound.unsqueeze(0)
