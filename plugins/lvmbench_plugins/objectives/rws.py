"""Reweighted wake-sleep."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor

from lvmbench import Count, Estimate, LatentVariableModel, Noise, SurrogateObjective, Terms


@final
class Rws(SurrogateObjective):
    r"""Reweighted wake-sleep: the model climbs the importance-weighted bound, q comes to meet its weights.

    .. math:: g_\theta = \sum_k \tilde w_k \nabla_\theta \log p_\theta(x, z_k), \qquad
        g_\phi = \sum_k \tilde w_k \nabla_\phi \log q_\phi(z_k|x), \qquad
        \tilde w_k = \frac{w_k}{\sum_j w_j}, \quad w_k = \frac{p_\theta(x, z_k)}{q_\phi(z_k|x)}

    of samples :math:`z_k \sim q_\phi(z|x)` that carry no gradients, so that they may be discrete. The first
    is the gradient of the bound; the second is that of no bound: as K grows it lowers KL(p(z|x) || q(z|x)),
    the divergence the other way round. Both phases are those of waking; the phase of sleep, on data that the
    model dreams, is left out. The bound that is reported is the importance-weighted one.

    References:
        Reweighted Wake-Sleep (Bornschein, Bengio, 2015), https://arxiv.org/abs/1406.2751;
        Revisiting Reweighted Wake-Sleep for Models with Stochastic Control Flow (Le, Kosiorek, Siddharth,
        Teh, Wood, 2019), https://arxiv.org/abs/1805.10469

    Arguments:
        samples: The number of samples :math:`K`; with one, the posterior learns nothing.

    Example:
        >>> sorted(Rws(samples=10).requires)
        ['estimator.own', 'posterior.amortized', 'posterior.density']
    """

    requires = SurrogateObjective.requires | {"posterior.amortized", "posterior.density"}

    def __init__(self, *, samples: Count = 5) -> None:
        super().__init__()
        self.samples = samples

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        return terms.log_w(kl_weight).logsumexp(0) - math.log(terms.samples)

    def estimate(
        self, model: LatentVariableModel, x: Tensor, noise: Noise, kl_weight: Tensor | float = 1.0
    ) -> Estimate:
        terms = Terms(model, x, noise, self.samples, pathwise=False)
        log_p = terms.log_likelihood + kl_weight * terms.log_prior
        share = (log_p - kl_weight * terms.log_q).softmax(0).detach()
        return Estimate((share * (log_p + terms.log_q)).sum(0), self(terms, kl_weight))
