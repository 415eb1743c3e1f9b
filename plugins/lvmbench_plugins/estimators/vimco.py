"""The multi-sample score gradient with a baseline from the other samples."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Terms


@final
class Vimco(Estimator):
    r"""The score gradient of a bound of log weights, each sample held against the others' geometric mean.

    .. math:: \nabla_\phi L = E\left[\sum_k (L - L_{-k})\, \nabla_\phi \log q_\phi(z_k|x)
        + \nabla_\phi L\right], \qquad
        L_{-k} = L\Big(w_1, \dots, \exp \tfrac{1}{K - 1} \sum_{j \ne k} \log w_j, \dots, w_K\Big)

    where the mean stands in the place of :math:`w_k`, so that the baseline of sample k does not depend on it.

    References:
        Variational Inference for Monte Carlo Objectives (Mnih, Rezende, 2016),
        https://arxiv.org/abs/1602.06725

    Example:
        >>> sorted(Vimco().requires)
        ['objective.log_weights', 'objective.multi_sample', 'posterior.density']
    """

    requires = frozenset({"objective.log_weights", "objective.multi_sample", "posterior.density"})

    def forward(
        self,
        objective: Any,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        terms = Terms(model, x, noise, objective.samples, pathwise=False)
        log_w = terms.log_w(kl_weight)
        bound: Tensor = objective.of_log_weights(log_w)
        signal = (bound - _baselines(objective, log_w)).detach()
        return Estimate(bound + (signal * terms.log_q).sum(0), bound)


def _baselines(objective: Any, log_w: Tensor) -> Tensor:
    """The bound with each log weight in turn replaced by the mean of the others, ``(K, B)``."""
    # the geometric mean of weights is the mean of their logs
    others = (log_w.sum(0) - log_w) / (len(log_w) - 1)
    own = torch.eye(len(log_w), dtype=torch.bool, device=log_w.device).unsqueeze(-1)  # (K, K, 1)
    replaced = torch.where(own, others, log_w)  # one replaced sample for each k
    return torch.stack([objective.of_log_weights(row) for row in replaced.unbind(0)])
