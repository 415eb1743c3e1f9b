"""The gradient of a bound of proposals, of which one is chosen."""

from __future__ import annotations

import math
from typing import Any, Literal, final

import torch
from torch import Tensor

from lvmbench import (
    DataSummary,
    Estimate,
    Estimator,
    LatentSpace,
    LatentVariableModel,
    Noise,
    Objective,
    Terms,
)


@final
class Covariance(Estimator):
    r"""The gradient of the ELBO of a posterior that chooses among proposals, from all of them.

    .. math:: L = \sum_k s_k f_k - \lambda\, \mathrm{KL}(s \,\|\, \text{uniform}), \qquad
        \nabla E_{z_{1:N} \sim q}[L] = E\left[\nabla L + \sum_k (L - b_k)\, \nabla_\phi \log q_\phi(z_k|x)
        \right], \qquad b_k = L_{-k} - \frac{\lambda}{N}

    where :math:`f_k` is the objective at a proposal :math:`z_k`, with log q of the weight :math:`\lambda`,
    and :math:`s_k` the chance that it is chosen; :math:`L_{-k}` is L of the other :math:`N - 1`. It is
    unbiased for any N, in the shares, too. As N grows it becomes, with :math:`A = \log p - \log q - \log a`
    and r what is accepted,

    .. math:: \nabla_\phi = \operatorname{Cov}_r(A, a\, \nabla_\phi \log q), \qquad
        \nabla_\theta = E_r[\nabla_\theta \log p] + \operatorname{Cov}_r(A, (1 - a) \nabla_\theta \log p)

    the covariances of variational rejection sampling, which hold the threshold T fixed; here
    :math:`\operatorname{Cov}_r(A, 1 - a)\, \nabla T` is added to both.

    With ``path``, for proposals that carry gradients, it is :math:`E_\epsilon[\nabla L]` through them.

    References:
        Variational Rejection Sampling (Grover, Gummadi, Lazaro-Gredilla, Schuurmans, Ermon, 2018),
        https://arxiv.org/abs/1804.01712;
        Variational Inference for Monte Carlo Objectives (Mnih, Rezende, 2016),
        https://arxiv.org/abs/1602.06725 (:math:`L_{-k}` as baseline)

    Arguments:
        gradient: ``score``, or ``path``.

    Example:
        >>> sorted(Covariance(gradient="path").requires)
        ['objective.additive', 'objective.linear', 'posterior.moving_proposals', 'posterior.proposals']
    """

    requires = frozenset({"objective.additive", "objective.linear", "posterior.proposals"})

    def __init__(
        self,
        data: DataSummary | None = None,
        space: LatentSpace | None = None,
        *,
        gradient: Literal["score", "path"] = "score",
    ) -> None:
        super().__init__(data, space)
        self.path = gradient == "path"
        if self.path:
            self.requires = self.requires | {"posterior.moving_proposals"}

    def forward(
        self,
        objective: Objective,
        model: LatentVariableModel,
        x: Tensor,
        noise: Noise,
        kl_weight: Tensor | float = 1.0,
    ) -> Estimate:
        terms = self._proposals(Terms(model, x, noise, objective.samples))
        log_w, f, weight = _parts(objective, terms, kl_weight, objective.samples)
        q: Any = terms.q
        pools = _bound(q.log_shares(log_w), f, weight)  # (K, B)
        bound = pools.mean(0)
        if self.path:
            return Estimate(bound, bound)
        log_q = terms.log_q.unflatten(0, log_w.shape[:2])
        signal = (pools - _baselines(q, log_w, f, weight)).detach()
        return Estimate(bound + (signal * log_q).sum(0).mean(0), bound)

    def _proposals(self, terms: Terms) -> Terms:
        """The terms of all proposals, ``(N K, B)``."""
        q: Any = terms.q
        z, log_q = q.base.sample_and_log_prob(terms.noise, q.proposals * terms.samples)
        return terms.having(z, log_q) if self.path else terms.having(z.detach(), q.base.log_prob(z.detach()))


def _parts(
    objective: Objective, terms: Terms, kl_weight: Tensor | float, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The log weights and the bounds of single proposals, ``(N, K, B)``,
    and the weight of log q in these, ``(B,)``.
    """
    f = torch.stack([objective(one, kl_weight) for one in terms.singles()])
    first = terms.take(torch.zeros(1, dtype=torch.long, device=f.device))
    weight = f[0] - objective(first.having(first.z, first.log_q + 1), kl_weight)
    log_w = terms.log_likelihood + terms.log_prior - terms.log_q
    return log_w.unflatten(0, (-1, samples)), f.unflatten(0, (-1, samples)), weight.detach()


def _bound(log_shares: Tensor, f: Tensor, weight: Tensor) -> Tensor:
    """L of proposals in the first dimension."""
    return (log_shares.exp() * (f - weight * (log_shares + math.log(len(f))))).sum(0)


def _baselines(q: Any, log_w: Tensor, f: Tensor, weight: Tensor) -> Tensor:
    """L of all proposals but each, less what a proposal adds to it on average, ``(N, K, B)``."""
    count = len(f)
    others = torch.arange(1, count, device=f.device).unsqueeze(1) + torch.arange(count, device=f.device)
    index = others % count  # (N - 1, N): for each k all but k
    return _bound(q.log_shares(log_w[index]), f[index], weight) - weight / count
