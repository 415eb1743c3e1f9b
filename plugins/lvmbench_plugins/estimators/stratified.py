"""The pathwise gradient of a mixture, with samples of each of its components."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lvmbench import Estimate, Estimator, LatentVariableModel, Noise, Objective, Terms


@final
class Stratified(Estimator):
    r"""The expectation over a mixture by its components: their weights exactly, each of them by its samples.

    .. math:: E_{q_\phi(z|x)}[f(z)] = \sum_c \pi_c(x)\, E_\epsilon[f(g_c(x, \epsilon))]

    No component is chosen at random, so that the weights have gradients, too, and not only the components,
    whose samples are reparameterised. The log q of f is the mixture's. Each component draws as many samples
    as the objective has: a step costs as many decodings as that times the number of components.

    References:
        Approximate Inference for Deep Latent Gaussian Mixtures (Nalisnick, Hertel, Smyth, 2016),
        http://bayesiandeeplearning.org/2016/papers/BDL_20.pdf;
        Automatic Differentiation Variational Inference with Mixtures (Morningstar, Vikram, Ham, Gallagher,
        Dillon, 2021), https://arxiv.org/abs/2003.01687

    Example:
        >>> sorted(Stratified().requires)
        ['objective.additive', 'posterior.density', 'posterior.strata']
    """

    requires = frozenset({"objective.additive", "posterior.density", "posterior.strata"})

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        terms = Terms(model, x, noise, objective.samples)
        z, log_weights = terms.q.strata(noise, objective.samples)  # (K, C, B, *z) and (C, B)
        singles = terms.having(z.flatten(0, 1)).singles()
        each = torch.stack([objective(one, kl_weight) for one in singles]).unflatten(0, z.shape[:2])
        # nothing is detached: weights and bounds both depend on the parameters
        bound = (log_weights.exp() * each.mean(0)).sum(0)
        return Estimate(surrogate=bound, bound=bound)
