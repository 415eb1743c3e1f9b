"""Rejection sampling from a posterior: what fits the model better is kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from pydantic import Field
from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, LatentSpace, Posterior, Resampled, Size
from lvmbench.networks import Mask, Network
from lvmbench_plugins.posteriors.belief_network import RecognitionNetwork
from lvmbench_plugins.posteriors.bernoulli import BernoulliPosterior
from lvmbench_plugins.posteriors.bottom_up import BottomUp
from lvmbench_plugins.posteriors.full_gaussian import FullGaussian
from lvmbench_plugins.posteriors.gaussian import Gaussian

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel

Base = Literal["gaussian", "full_gaussian", "bottom_up", "bernoulli", "belief_network"]
BASES: dict[Base, type[Amortized]] = {
    "gaussian": Gaussian,
    "full_gaussian": FullGaussian,
    "bottom_up": BottomUp,
    "bernoulli": BernoulliPosterior,
    "belief_network": RecognitionNetwork,
}
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
        base: The posterior q that proposals come from.
        proposals: Their number :math:`N`.
        acceptance: The share :math:`\gamma` of them that is accepted.
        network: The body of the base's network.
        hidden: The width of the hidden layers of the base.
        layers: The number of hidden layers of the base.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> import torch
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Rejection(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), acceptance=0.2)
        >>> sorted(q.requires)
        ['decoder.density', 'prior.density', 'prior.real']
    """

    distribution: type[Any] = Resampled  # of what the base returns
    provides = frozenset({"reads_model"})
    requires = frozenset({"prior.density", "decoder.density"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        base: Base = "gaussian",
        proposals: Annotated[int, Field(ge=2)] = 8,
        acceptance: Share = 0.5,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.proposals, self.acceptance = proposals, acceptance
        build: Any = BASES[base]
        self.base: Amortized = build(data, space, network=network, hidden=hidden, layers=layers, mask=mask)
        self.distribution = Resampled[self.base.distribution]  # type: ignore[name-defined]
        self.requires = self.requires | self.base.requires

    def forward(self, x: Tensor, model: LatentVariableModel) -> Resampled[Any]:
        log_target = partial(model.log_joint, x, p=model.p())
        return Resampled(self.base(x, model), log_target, self.proposals, self.acceptance)
