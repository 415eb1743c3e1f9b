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

    What is left out, the score of q, has the mean 0, so that the gradient of the ELBO, and of every additive bound, is unbiased,
    and where q is the true posterior it has no variance. In a bound that weighs its samples (IWAE with K > 1) the score does not
    average out: there the gradient is biased, and declared so; `dreg` is not. The KL divergence is taken from the samples.

    References:
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder, Wu, Duvenaud,
        2017), https://arxiv.org/abs/1703.09194

    Example:
        >>> sorted(Stl().requires)
        ['posterior.density', 'posterior.pathwise']
    """

    unbiased_where = frozenset({"objective.additive"})
    requires = frozenset({"posterior.density", "posterior.pathwise"})

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
