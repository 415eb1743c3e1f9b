"""The score gradient with relaxed samples as a control variate (REBAR)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lvmbench import (
    DataSummary,
    Estimate,
    Estimator,
    LatentSpace,
    LatentVariableModel,
    Noise,
    NonNegative,
    Objective,
    Positive,
    Terms,
    Varying,
)


@final
class Rebar(Estimator):
    r"""The score gradient of a discrete posterior, with that of the relaxed model as a control variate.

    .. math:: \nabla_\phi L = E\big[(f(b) - \eta f(\tilde z))\, \nabla_\phi \log q_\phi(b|x)
        + \nabla_\phi f(b) + \eta \nabla_\phi f(z) - \eta \nabla_\phi f(\tilde z)\big]

    where f is the bound of one sample, b a discrete sample, :math:`z` relaxed with
    :math:`b = \operatorname{round}(z)`, and :math:`\tilde z` another relaxed value given b alone. Unbiased
    for every temperature :math:`\tau` and scale :math:`\eta`; both are options here and stay fixed, while the
    paper learns them. The relaxed terms move the posterior only: prior and decoder follow
    :math:`\nabla f(b)`.

    References:
        REBAR: Low-Variance, Unbiased Gradient Estimates for Discrete Latent Variable Models (Tucker et al.,
        2017), https://arxiv.org/abs/1703.07370

    Arguments:
        temperature: The temperature :math:`\tau`.
        scale: The scale :math:`\eta`; 0 leaves the score gradient.

    Example:
        >>> sorted(Rebar().requires)
        ['objective.additive', 'posterior.density', 'posterior.relaxable']
    """

    requires = frozenset({"objective.additive", "posterior.density", "posterior.relaxable"})

    temperature: Tensor
    scale: Tensor

    def __init__(
        self,
        data: DataSummary | None = None,
        space: LatentSpace | None = None,
        *,
        temperature: Varying[Positive] = 0.5,
        scale: Varying[NonNegative] = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.tensor(temperature), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        terms = Terms(model, x, noise, objective.samples, pathwise=False)
        b, z, other = terms.q.relaxations(noise, objective.samples, self.temperature)
        terms = terms.having(b)
        each = torch.stack([objective(one, kl_weight) for one in terms.singles()])  # (K, B)

        def at_relaxed() -> Tensor:
            """The bounds of single values of z, ``(K, B)``."""
            singles = Terms.at(model, x, torch.cat([z, other]), noise).singles()
            return torch.stack([objective(one, kl_weight) for one in singles])

        # z and z~ have the same law: in prior and decoder the gradient of f(z) - f(z~) has the mean 0
        relaxed = model.holding(("prior", "decoder"), at_relaxed)
        at_z, at_other = (self.scale * relaxed).chunk(2)
        # f(z~) depends on b and is taken away all the same: the last two terms make up for that in the mean
        score = (each - at_other).detach() * terms.log_q
        bound = objective(terms, kl_weight)
        return Estimate(bound + (score + at_z - at_other).mean(0), bound)
