"""The exact gradient, by a sum over every value of z."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Objective, Terms


@final
class Enumeration(Estimator):
    r"""The exact expectation over every value of z and its gradient, which has no variance.

    .. math:: \nabla E_{q_\phi(z|x)}[L(z)] = \nabla \sum_z q_\phi(z|x)\, L(z)

    The number of the objective's samples changes nothing. A step costs as many decodings as z has values.

    References:
        Local Expectation Gradients for Black Box Variational Inference (Titsias, Lazaro-Gredilla, 2015),
        https://arxiv.org/abs/1503.01494

    Example:
        >>> sorted(Enumeration().requires)
        ['objective.additive', 'posterior.density', 'prior.enumerable']
    """

    requires = frozenset({"objective.additive", "posterior.density", "prior.enumerable"})

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        values = model.prior.space.values(x).unsqueeze(1)
        terms = Terms.at(model, x, values.expand(-1, len(x), *values.shape[2:]), noise)
        each = torch.stack([objective(one, kl_weight) for one in terms.singles()])
        # nothing is detached: both the weight q(z|x) and the bound at z depend on the parameters
        bound = (terms.log_q.exp() * each).sum(0)
        return Estimate(surrogate=bound, bound=bound)
