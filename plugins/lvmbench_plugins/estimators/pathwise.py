"""The pathwise gradient (reparameterisation trick)."""

from __future__ import annotations

from typing import final

from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Objective, Terms


@final
class Pathwise(Estimator):
    r"""The gradient through the samples, :math:`z = g_\phi(x, \epsilon)`, by reparameterisation.

    .. math:: \nabla_\phi E_{q_\phi(z|x)}[f(z)] = E_\epsilon[\nabla_\phi f(g_\phi(x, \epsilon))]

    Where the samples are relaxed ones of a discrete posterior, it follows the objective at the relaxed
    values, and reports the bound at values that the posterior can take.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114;
        Stochastic Backpropagation and Approximate Inference (Rezende, Mohamed, Wierstra, 2014),
        https://arxiv.org/abs/1401.4082

    Example:
        >>> Pathwise().requires
        frozenset({'posterior.pathwise'})
    """

    requires = frozenset({"posterior.pathwise"})

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        terms = Terms(model, x, noise, objective.samples)
        surrogate, genuine = objective(terms, kl_weight), terms.genuine()
        # log q of a relaxed value is no density: only at values that z can take is it a bound
        bound = surrogate if genuine is terms else objective(genuine, kl_weight).detach()
        return Estimate(surrogate, bound)
