"""The prior of associative compression networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from lvmbench import (
    Count,
    DataSummary,
    DiagonalNormal,
    Distribution,
    LatentSpace,
    Mixture,
    Noise,
    Prior,
    Refusal,
    Size,
)
from lvmbench import network as build

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel, Split

BATCH = 1000
"""How many data are encoded at once."""


class _Whole(Mixture[DiagonalNormal]):
    """A mixture of equally likely normals, so many that not each is drawn from."""

    @property
    def family(self) -> type[Distribution]:
        return Mixture[DiagonalNormal]

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        loc, log_scale = self.components.loc, self.components.log_scale
        count, size = loc.shape
        chosen = (count * noise.uniform((samples,))).long().clamp(max=count - 1)
        value = loc[chosen] + log_scale[chosen].exp() * noise.normal((samples, size))
        return value, self.log_prob(value)


class _Near(Distribution):
    """A lower bound on the density of a mixture of normals given codes: without the nearest, of the next few.

    Arguments:
        codes: The codes, ``(N, D)``.
        network: What makes offset of the mean and log scale of codes.
        neighbours: How many codes after the nearest are summed over; all of them if 0.
    """

    traits = frozenset({"bound"})
    law_type = Mixture[DiagonalNormal]

    def __init__(self, codes: Tensor, network: nn.Module, neighbours: int) -> None:
        self.codes, self.network, self.neighbours = codes, network, neighbours

    @property
    def law(self) -> Mixture[DiagonalNormal]:
        return _Whole(self.codes.new_zeros(len(self.codes)), self._given(self.codes))

    def log_prob(self, value: Tensor) -> Tensor:
        each = self._of_few(value) if self.neighbours else self._of_all(value)
        return each.logsumexp(-1) - math.log(len(self.codes))

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        value = self.law.sample(noise, samples)
        return value, self.log_prob(value)

    def _of_few(self, value: Tensor) -> Tensor:
        near = self._apart(value).topk(self.neighbours + 1, -1, largest=False).indices[..., 1:]
        return self._given(self.codes[near]).log_prob(value.unsqueeze(-2))

    def _of_all(self, value: Tensor) -> Tensor:
        nearest = self._apart(value).argmin(-1, keepdim=True)
        left_out = torch.arange(len(self.codes), device=value.device) == nearest
        each = self._given(self.codes).log_prob(value.unsqueeze(-2))
        return each.masked_fill(left_out, -math.inf)

    @torch.no_grad()
    def _apart(self, value: Tensor) -> Tensor:
        """The squared distances of values from all codes, ``(..., N)``, less what is the same for all."""
        return self.codes.square().sum(-1) - 2 * value @ self.codes.mT

    def _given(self, codes: Tensor) -> DiagonalNormal:
        offset, log_scale = self.network(codes).unbind(-2)
        return DiagonalNormal(codes + offset, log_scale)


@final
class Associative(Prior):
    r"""A mixture of normals, each given the code of a training datum.

    .. math:: p(z) = \frac1N \sum_n N(z; \mu(c_n), \operatorname{diag} \sigma^2(c_n)), \qquad
        c_n = E_{q(z|x_n)}[z]

    A network makes :math:`\mu, \sigma` of a code. Codes are found before each epoch, and held fixed until the
    next. The paper codes a data set in an order in which each datum follows a near one, by whose code alone
    it is given; where data have no order, log N nats say which one that is. What is measured here is such a
    density, that of the whole mixture.

    In training the mixture is without the datum's own code, as in the paper, or all data would be learnt by
    heart: the code that is nearest to z is left out. Of the others the next few are summed over, with the
    weight :math:`1/N` still. That is a lower bound on the density, and so are the bounds of training; those
    of validation are of the whole.

    References:
        Associative Compression Networks for Representation Learning (Graves, Menick, van den Oord, 2018),
        https://arxiv.org/abs/1804.02476

    Arguments:
        neighbours: How many near codes are summed over in training; 0 for all, at a cost that grows with the
            data.
        hidden: The width of the network's hidden layers.
        layers: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary
        >>> prior = Associative(DataSummary((3,), "real", torch.zeros(3), size=100), 2)
        >>> prior(None).law.log_prob(torch.zeros(5, 7, 2)).shape
        torch.Size([5, 7])
    """

    distribution = _Near
    requires = frozenset({"posterior.amortized", "posterior.mean"})
    refreshes = True
    codes: Tensor

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        neighbours: Size = 5,
        hidden: Count = 128,
        layers: Size = 1,
    ) -> None:
        super().__init__()
        if data.size <= max(neighbours, 1):
            raise Refusal(
                f"prior 'associative' needs the code of another datum, and more data than neighbours; got "
                f"{data.size} data and neighbours={neighbours}"
            )
        self.neighbours = neighbours
        self.network = build("mlp", (latent,), (2, latent), hidden=hidden, layers=layers)
        # until data have been seen
        self.register_buffer("codes", torch.randn(data.size, latent))

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(tuple(self.codes.shape[-1:]))

    def forward(self, model: LatentVariableModel) -> _Near:
        return _Near(self.codes, self.network, self.neighbours)

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        self.codes.copy_(torch.cat([model.q(part).mean for part in train.x.split(BATCH)]))
