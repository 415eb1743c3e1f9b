"""The evidence lower bound."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor

from lvmbench import Count, NonNegative, Objective, Terms


@final
class Elbo(Objective):
    r"""The evidence lower bound, with the KL divergence in closed form where it is known.

    .. math:: \mathrm{ELBO}(x) = E_{q(z|x)}[\log p(x|z)] - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))

    With :math:`\beta \ge 1` it never exceeds log p(x); with :math:`\beta < 1` it may, and is not declared a lower bound.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114;
        beta-VAE (Higgins et al., 2017), https://openreview.net/forum?id=Sy2fzU9gl;
        Generating Sentences from a Continuous Space (Bowman et al., 2016), https://arxiv.org/abs/1511.06349 (warm-up)

    Arguments:
        samples: The number of samples :math:`K` that the expectations are taken over.
        beta: The weight :math:`\beta` of the KL divergence.
        kl: ``analytic`` in closed form, ``sampled`` from the samples, ``auto`` in closed form where there is one.
        warm_up: Epochs over which the KL weight rises from 0 to :math:`\beta`; 0 leaves it to the budget.

    Example:
        >>> Elbo(beta=0.5).lower_bound
        False
    """

    additive = True

    def __init__(
        self,
        *,
        samples: Count = 1,
        beta: NonNegative = 1.0,
        kl: Literal["auto", "analytic", "sampled"] = "auto",
        warm_up: NonNegative = 0.0,
    ) -> None:
        super().__init__()
        self.samples, self.beta, self.kl, self.warm_up = samples, beta, kl, warm_up
        self.lower_bound = beta >= 1
        self.requires = frozenset({"model.analytic_kl"} if kl == "analytic" else ())
        self.provides = frozenset({"multi_sample"} if samples > 1 else ())

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        kl = terms.kl(analytic=self.kl != "sampled")
        return terms.log_likelihood.mean(0) - kl_weight * self.beta * kl
