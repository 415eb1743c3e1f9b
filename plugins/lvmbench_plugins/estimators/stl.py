"""The path-derivative gradient (sticking the landing)."""

from __future__ import annotations

from typing import final

from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Objective, Terms


@final
class Stl(Estimator):
    r"""The gradient through the samples alone: the density of the posterior is held fixed.

    .. math:: \nabla_\phi \mathrm{ELBO} = E_\epsilon\left[\nabla_z \log \frac{p(x, z)}{q_{\bar\phi}(z|x)}
        \, \nabla_\phi z\right], \qquad z = g_\phi(x, \epsilon), \quad \bar\phi = \phi \text{ held fixed}

    What is left out, the score of q, has the mean 0, so that the gradient is unbiased for the ELBO, and for
    every objective in which log q enters linearly; where q is the true posterior it has no variance. In a
    bound that weighs its samples (IWAE with K > 1) the score does not average out: there the gradient is
    biased, and declared so; `dreg` is not. The KL divergence is taken from the samples, so that no pair of
    posterior and prior gains by a closed form. Where q is far narrower than the true posterior the slope of
    log q is large, and so is the noise: at large learning rates a small model may diverge, where `pathwise`
    and `blend` do not. For flows the slope of log q is carried along their steps and needs no inverse.

    References:
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder,
        Wu, Duvenaud, 2017), https://arxiv.org/abs/1703.09194;
        Fast and Unified Path Gradient Estimators for Normalizing Flows (Vaitl, Winkler, Richter, Kessel,
        2024), https://arxiv.org/abs/2403.15881 (flows)

    Example:
        >>> sorted(Stl().requires)
        ['posterior.pathwise', 'posterior.slope']
    """

    version = 2
    unbiased_where = frozenset({"objective.linear"})
    requires = frozenset({"posterior.pathwise", "posterior.slope"})

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        bound = objective(Terms(model, x, noise, objective.samples, fixed=True), kl_weight)
        return Estimate(surrogate=bound, bound=bound)
