"""The objective's own surrogate."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise


@final
class Own(Estimator):
    r"""What the objective itself says that training is to follow.

    .. math:: g = \nabla \tilde L(x), \qquad \tilde L \text{ the surrogate that comes with the objective}

    For objectives whose training is not the gradient of their bound: the weights of `rws`, say, are held
    fixed. It is unbiased where the objective says so. Others leave the surrogate to an estimator, and are
    refused here.

    References:
        Gradient Estimation Using Stochastic Computation Graphs (Schulman, Heess, Weber, Abbeel, 2015),
        https://arxiv.org/abs/1506.05254 (surrogates)

    Example:
        >>> Own().requires
        frozenset({'objective.surrogate'})
    """

    unbiased_where = frozenset({"objective.unbiased"})
    provides = frozenset({"own"})
    requires = frozenset({"objective.surrogate"})

    def forward(
        self,
        objective: Any,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        estimate: Estimate = objective.estimate(model, x, noise, kl_weight)
        return estimate
