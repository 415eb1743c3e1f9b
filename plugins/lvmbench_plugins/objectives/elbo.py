"""The evidence lower bound."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from lvmbench import Count, NonNegative, Objective, Terms, Varying


@final
class Elbo(Objective):
    r"""The evidence lower bound.

    .. math:: \mathrm{ELBO}(x) = E_{q(z|x)}[\log p(x|z)] - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))

    Free bits replace the divergence of a unit by :math:`\max(\lambda, \mathrm{KL})` while training, so that a
    unit below :math:`\lambda` is not pushed further down; in evaluation the bound is the plain one.

    With :math:`\beta \ge 1` it never exceeds log p(x); with :math:`\beta < 1` it may, and is not declared a
    lower bound.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014), https://arxiv.org/abs/1312.6114;
        Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
        https://arxiv.org/abs/1606.04934 (free bits);
        Cyclical Annealing Schedule (Fu et al., 2019), https://arxiv.org/abs/1903.10145;
        beta-VAE (Higgins et al., 2017), https://openreview.net/forum?id=Sy2fzU9gl;
        Generating Sentences from a Continuous Space (Bowman et al., 2016), https://arxiv.org/abs/1511.06349
        (warm-up)

    Arguments:
        samples: The number of samples :math:`K` that the expectations are taken over.
        beta: The weight :math:`\beta` of the KL divergence.
        kl: ``sampled`` from the samples, as every pair of posterior and prior can have it; ``analytic`` in
            closed form, whose gradient has less noise than that of the samples by `pathwise`, and near the
            true posterior more than that by `blend`.
        warm_up: Epochs over which the KL weight rises from 0 to :math:`\beta`; 0 leaves it to the budget.
        cycles: How often it does so, each time staying at :math:`\beta` as long as it rose.
        free_bits: Nats :math:`\lambda` of the KL divergence, in the mean over the batch, that each unit has
            free while training; of all units together where the divergence is not known by unit. By unit it
            is in closed form.

    Example:
        >>> Elbo(beta=0.5).lower_bound
        False
    """

    version = 2
    default_estimators = (
        "blend",
        "stl",
        "pathwise",
        "stratified",
        "covariance[gradient=path]",
        "covariance",
        "score",
    )

    beta: Tensor
    free_bits: Tensor

    def __init__(
        self,
        *,
        samples: Count = 1,
        beta: Varying[NonNegative] = 1.0,
        kl: Literal["sampled", "analytic"] = "sampled",
        warm_up: NonNegative = 0.0,
        cycles: Count = 1,
        free_bits: Varying[NonNegative] = 0.0,
    ) -> None:
        super().__init__()
        self.samples, self.kl, self.warm_up, self.cycles = samples, kl, warm_up, cycles
        self.register_buffer("beta", torch.tensor(beta), persistent=False)
        self.register_buffer("free_bits", torch.tensor(free_bits), persistent=False)
        self.lower_bound = beta >= 1
        # free bits take the mean over the batch, and the larger of two values
        self.additive = self.linear = not free_bits
        self.batchwise = bool(free_bits)
        if kl == "analytic":
            self.requires, self.provides = frozenset({"model.analytic_kl"}), frozenset({"analytic_kl"})

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        kl = terms.kl(analytic=self.kl == "analytic")
        if self.batchwise and self.training:
            kl = self._paid(terms, kl)
        return terms.log_likelihood.mean(0) - kl_weight * (self.beta * kl)

    def _paid(self, terms: Terms, kl: Tensor) -> Tensor:
        """The divergence of each datum with the free bits of each unit, ``(B,)``."""
        known = terms.unit_kl()
        # the mean over the batch decides, as in the paper: a unit may tell some data apart and not others
        units = kl.unsqueeze(1) if known is None else known  # (B, U)
        # a constant has no gradient: nothing pushes the unit further down
        return torch.where(units.mean(0) > self.free_bits, units, self.free_bits).sum(1)
