"""Rejection sampling from a posterior: what fits the model better is kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, final

from pydantic import Field
from torch import Tensor

from lvmbench import Base, DataSummary, Distribution, LatentSpace, Posterior, Refusal, Resampled
from lvmbench.distributions import closed, traits_of

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel, Noise, Split

Several = Annotated[int, Field(ge=2)]
"""A number of proposals to choose from."""
Share = Annotated[float, Field(gt=0, le=1)]
"""A share of more than none, up to all."""


@final
class Rejection(Posterior):
    r"""Proposals of another posterior, of which those that fit the model better are accepted.

    .. math:: r(z|x) = \frac{q(z|x)\, a(z|x)}{Z_R(x)}, \qquad
        a(z|x) = \operatorname{sigmoid}\left(T(x) + \log \frac{p(x, z)}{q(z|x)}\right), \qquad
        Z_R = E_q[a]

    As T falls from infinity, r goes from q to the true posterior, and its ELBO, the R-ELBO
    :math:`E_r[\log p(x, z) - \log q - \log a] + \log Z_R`, rises from the ELBO of q to log p(x).

    So that each step costs the same, N proposals are drawn and one of them is taken, by its share
    :math:`s_k = a_k / \sum_j a_j`; T(x) is where a share :math:`\gamma` of these N is accepted. The density
    of what is taken is known as the estimate :math:`q(z|x)\, N s_k`, and the ELBO with it is

    .. math:: \mathrm{ELBO}(x) = E_{z_{1:N} \sim q}\left[\sum_k s_k \log \frac{p(x, z_k)}{q(z_k|x)}
        - \mathrm{KL}(s \,\|\, \text{uniform})\right] \le \log p(x)

    a lower bound for every N, and the R-ELBO as N grows. With :math:`\gamma = 1` it is the ELBO of q, and as
    :math:`\gamma` falls to 0 the importance-weighted bound of N samples. The weights estimate p(x) without
    bias. Rate and gap that are measured are upper bounds of those of the law of z. A sample costs N
    evaluations of the model.

    The paper draws until a proposal is accepted, and keeps for each datum a T that it sets now and then, to
    the quantile :math:`\gamma` of :math:`\log q - \log p(x, z)`. That accepts :math:`\gamma` where these
    differ by many nats, but half of all proposals where q is near the true posterior. Here it is
    :math:`\gamma` always, for data that were never seen as well, and gradients count how T moves.

    References:
        Variational Rejection Sampling (Grover, Gummadi, Lazaro-Gredilla, Schuurmans, Ermon, 2018),
        https://arxiv.org/abs/1804.01712;
        Reinterpreting Importance-Weighted Autoencoders (Cremer, Morris, Duvenaud, 2017),
        https://arxiv.org/abs/1704.02916

    Arguments:
        base: The posterior q that proposals come from, which must have a density: ``gaussian``,
            ``belief_network[hidden=64]``.
        proposals: Their number :math:`N`.
        acceptance: The share :math:`\gamma` of them that is accepted.

    Example:
        >>> import torch
        >>> from lvmbench_plugins.posteriors.gaussian import Gaussian
        >>> data, space = DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,))
        >>> sorted(Rejection(data, space, base=Gaussian(data, space), acceptance=0.2).requires)
        ['decoder.density', 'prior.density', 'prior.real']
    """

    distribution: type[Distribution] | None = Resampled  # of what the base returns
    provides = frozenset({"reads_model"})
    requires = frozenset({"prior.density", "decoder.density"})
    base: Posterior

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        base: Base = "gaussian",
        proposals: Several = 8,
        acceptance: Share = 0.5,
    ) -> None:
        super().__init__()
        self.base, self.proposals, self.acceptance = base, proposals, acceptance
        self.distribution = closed(Resampled, _density_of(base))
        self.provides = self.provides | (base.provides & {"held_fixed"})
        self.requires = self.requires | base.requires
        self.vectorizable, self.refreshes = base.vectorizable, base.refreshes

    def forward(self, x: Tensor, model: LatentVariableModel) -> Resampled[Any]:
        log_target = partial(model.log_joint, x, p=model.p())
        return Resampled(self.base(x, model), log_target, self.proposals, self.acceptance)

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        self.base.refresh(train, model)

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        return self.base.corrupt(x, noise)


def _density_of(base: Posterior) -> type[Distribution]:
    """The class that the base returns, which has a density."""
    family = base.distribution
    if family is None or "density" not in traits_of(family):
        raise Refusal(
            f"rejection weighs proposals by their density, which must be known anywhere; that of "
            f"{type(base).__name__} is not"
        )
    return family
