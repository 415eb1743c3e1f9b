"""A posterior with auxiliary variables."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, DiagonalNormal, LatentSpace, Marginal, Size
from lvmbench.networks import ConditionalNormal, Mask, Network, encoder


@final
class Auxiliary(Amortized):
    r"""Normals that are mixed over auxiliary variables of their own, so that q(z|x) may have any shape.

    .. math:: q(z|x) = \int q(a|x)\, q(z|x, a)\, da, \qquad
        \log p(x) \ge E_{q(a, z|x)}\left[\log \frac{p(x, z)\, r(a|x, z)}{q(a|x)\, q(z|x, a)}\right]

    All three are normal, with independent coordinates and means and scales from networks that read the
    features of x. The reverse model :math:`r(a|x, z)` is trained along; the bound falls short of the ELBO of
    q(z|x) by KL(q(a|x, z) || r(a|x, z)), and is as tight where r is the truth. The weights estimate p(x)
    without bias, so that bounds of several samples hold, too. Rate and gap that are measured are upper bounds
    of those of q(z|x). Gradients are those of the whole path: to hold log q fixed, as path derivatives do,
    would leave r untrained.

    References:
        Auxiliary Deep Generative Models (Maaloe, Sonderby, Sonderby, Winther, 2016),
        https://arxiv.org/abs/1602.05473;
        Hierarchical Variational Models (Ranganath, Tran, Blei, 2016), https://arxiv.org/abs/1511.02386

    Arguments:
        size: The number of auxiliary variables.
        network: The body that makes features of x.
        hidden: The number of features, and the width of all hidden layers.
        layers: The number of the body's hidden layers.
        mask: Whether the body is also told which values were observed; where all were, that changes nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace, Stream
        >>> q = Auxiliary(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 2])
    """

    distribution = Marginal
    requires = frozenset({"prior.real"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        size: Count = 8,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.latent = space.event_shape
        self.network = encoder(network, data, (hidden,), hidden=hidden, layers=layers, mask=mask)
        values = math.prod(space.event_shape)
        self.auxiliary = ConditionalNormal((hidden,), (size,), hidden=hidden, layers=1)
        self.conditional = ConditionalNormal((hidden + size,), self.latent, hidden=hidden, layers=1)
        self.reverse = ConditionalNormal((hidden + values,), (size,), hidden=hidden, layers=1)

    def of(self, parameters: Tensor) -> Marginal:
        """q(z|x) for features of x, ``(B, hidden)``."""

        def conditional(a: Tensor) -> DiagonalNormal:
            q: DiagonalNormal = self.conditional(_joined(parameters, a))
            return q

        def reverse(z: Tensor) -> DiagonalNormal:
            r: DiagonalNormal = self.reverse(_joined(parameters, z.flatten(-len(self.latent))))
            return r

        return Marginal(self.auxiliary(parameters), conditional, reverse)


def _joined(features: Tensor, values: Tensor) -> Tensor:
    """Features ``(B, hidden)`` beside values ``(..., B, D)``."""
    return torch.cat([features.expand(*values.shape[:-1], -1), values], -1)
