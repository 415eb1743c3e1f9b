"""The doubly reparameterised gradient."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.func import grad, vmap

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Terms


@final
class Dreg(Estimator):
    r"""The gradient of a bound of log weights, the score of the posterior in it reparameterised once more.

    .. math:: \nabla_\phi L = E\left[\sum_k \left(\tilde w_k - \beta\, \partial_k \tilde w_k\right)
        \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\right], \qquad
        \tilde w_k = \frac{\partial L}{\partial \log w_k}, \quad
        \partial_k \tilde w_k = \frac{\partial^2 L}{\partial (\log w_k)^2}

    where :math:`\beta` is the KL weight, with which log q enters the log weights. For IWAE the coefficient at
    :math:`\beta = 1` is :math:`\tilde w_k^2` with :math:`\tilde w` the normalised weights, and the
    signal-to-noise ratio of the encoder grows with K where that of the plain gradient falls. Prior and
    decoder get :math:`\sum_k \tilde w_k \nabla_\theta \log w_k`. The model is evaluated twice: for the
    weights, and for the gradient.

    References:
        Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker, Lawson, Gu, Maddison,
        2019), https://arxiv.org/abs/1810.04152

    Example:
        >>> sorted(Dreg().requires)
        ['objective.log_weights', 'objective.smooth', 'posterior.pathwise', 'posterior.slope']
    """

    version = 2
    requires = frozenset(
        {"objective.log_weights", "objective.smooth", "posterior.pathwise", "posterior.slope"}
    )

    def forward(
        self,
        objective: Any,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        # log q held fixed: what its score would add is, reparameterised, the second derivative of the bound
        terms = Terms(model, x, noise, objective.samples, fixed=True)
        log_w = terms.log_w(kl_weight)
        share, bend = (part.detach() for part in _derivatives(objective, log_w.detach()))
        tiny = torch.finfo(share.dtype).tiny
        # of the path's gradient, beside the weight of its sample
        scale = (share - kl_weight * bend) / share.clamp(min=tiny)
        path = terms.along(scale * share.gt(tiny))
        # prior and decoder get share alone, as the scale is on the way from z to the posterior's parameters
        surrogate = (share * path.log_w(kl_weight)).sum(0)
        bound = objective.of_log_weights(log_w).detach()
        return Estimate(surrogate, bound)


def _derivatives(objective: Any, log_w: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivatives of the bound of each datum in each of its log weights, ``(K, B)``."""

    def first(log_w: Tensor) -> Tensor:
        slope: Tensor = grad(lambda w: objective.of_log_weights(w).sum())(log_w)
        return slope

    def second(direction: Tensor) -> Tensor:
        row: Tensor = grad(lambda w: (direction @ first(w)).sum())(log_w)
        return row

    # the diagonal: the score of sample k is reparameterised through z_k, the other samples being as they are
    every = torch.eye(len(log_w), dtype=log_w.dtype, device=log_w.device)
    return first(log_w), vmap(second)(every).diagonal(dim1=0, dim2=1).T
