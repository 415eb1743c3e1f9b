"""The variational mixture of posteriors as prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lvmbench import Count, DataSummary, LatentSpace, Mixture, Positive, Prior, Refusal, Varying, observed

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel, Split

MARGIN = 0.05
"""How far pseudo-inputs start at least from the ends of their range, where squashing has no slope."""


@final
class VampPrior(Prior):
    r"""The VampPrior: a mixture of the posteriors of :math:`K` learned pseudo-inputs.

    .. math:: p(z) = \sum_k \pi_k\, q_\phi(z|u_k), \qquad \pi_k = 1/K

    The best prior of a model is its aggregated posterior; this one has the posteriors of a few made-up data
    in place of all training data. So the bound has gradients to :math:`\phi` by way of the prior as well,
    which no estimator holds fixed. Pseudo-inputs are in the range of the data: squashed by a sigmoid for data
    from 0 to 1, by a softplus for counts.

    References:
        VAE with a VampPrior (Tomczak, Welling, 2018), https://arxiv.org/abs/1705.07120;
        Deep Generative Modeling (Tomczak, 2022), https://doi.org/10.1007/978-3-030-93158-2 (learned weights)

    Arguments:
        components: The number of pseudo-inputs :math:`K`, at most that of the training data.
        start: Where they start: at ``data``, different ones of the training set, by 0.05 within the range, or
            at ``noise``, all about the training mean.
        spread: The standard deviation of that noise, before squashing.
        weights: Whether the weights :math:`\pi_k` stay ``equal`` or are ``learned``.

    Example:
        >>> from lvmbench import DataSummary
        >>> prior = VampPrior(DataSummary((3,), "unit", torch.full((3,), 0.2), size=100), 2, components=4)
        >>> prior.pseudo_inputs.shape
        torch.Size([4, 3])
    """

    distribution = Mixture  # of what the posterior returns
    provides = frozenset({"density", "pseudo_inputs"})
    requires = frozenset({"posterior.amortized", "posterior.density"})
    mean: Tensor
    rows: Tensor
    begun: Tensor

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        components: Count = 10,
        start: Literal["data", "noise"] = "data",
        spread: Varying[Positive] = 0.01,
        weights: Literal["equal", "learned"] = "equal",
    ) -> None:
        super().__init__()
        if components > data.size:
            raise Refusal(
                f"prior 'vamp' needs at least as many training data as pseudo-inputs, got {data.size} data "
                f"and components={components}"
            )
        self.latent, self.refreshes = latent, start == "data"
        self.squash, self.unsquash = _RANGES[data.support]
        noise = spread * torch.randn(components, *data.event_shape)
        self.raw = nn.Parameter(self.unsquash(data.mean) + noise)
        self.logits = nn.Parameter(torch.zeros(components), requires_grad=weights == "learned")
        self.register_buffer("mean", data.mean, persistent=False)
        self.register_buffer("rows", torch.randperm(data.size)[:components])
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    @property
    def space(self) -> LatentSpace:
        return LatentSpace((self.latent,))

    @property
    def pseudo_inputs(self) -> Tensor:
        """The pseudo-inputs, ``(K, *x)``."""
        return self.squash(self.raw)

    def forward(self, model: LatentVariableModel) -> Mixture[Any]:
        return Mixture(self.logits, model.q(self.pseudo_inputs))

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        chosen = self.unsquash(observed(train.x[self.rows], self.mean)[0])
        # before the first epoch alone, and without asking the device which one this is
        self.raw.copy_(torch.where(self.begun, self.raw, chosen))
        self.begun.fill_(True)


def _unchanged(values: Tensor) -> Tensor:
    return values


def _logit(values: Tensor) -> Tensor:
    return values.logit(MARGIN)


def _inverse_softplus(values: Tensor) -> Tensor:
    inside = values.clamp(min=MARGIN)
    return inside + (-(-inside).expm1()).log()


_Map = Callable[[Tensor], Tensor]
_RANGES: Mapping[str, tuple[_Map, _Map]] = {
    "binary": (torch.sigmoid, _logit),
    "unit": (torch.sigmoid, _logit),
    "count": (softplus, _inverse_softplus),
    "real": (_unchanged, _unchanged),
}
"""For each support of data, the map from any values to values within its range, and the way back."""
