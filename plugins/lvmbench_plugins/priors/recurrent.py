"""A prior that remembers z and x: that of the variational recurrent network."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from lvmbench import Count, DataSummary, DiagonalNormal, LvmbenchError, SequencePrior, Size
from lvmbench.networks import ConditionalNormal, Mask, Network, encoder
from lvmbench.networks import network as build
from lvmbench.networks.recurrent import Lstm


@final
class RecurrentPrior(SequencePrior):
    r"""Normals step by step, each given what a recurrent network has read of z and x before.

    .. math:: p(z_t | h_t) = N(z_t; \mu(h_t), \operatorname{diag} \sigma^2(h_t)), \qquad
        h_{t+1} = \operatorname{LSTM}(h_t, \varphi(x_t), \psi(z_t))

    The decoder reads :math:`h_t` beside :math:`z_t`: with the posterior ``filtering`` that is the variational
    recurrent network.

    References:
        A Recurrent Latent Variable Model for Sequential Data (Chung, Kastner, Dinh, Goel, Courville, Bengio,
        2015), https://arxiv.org/abs/1506.02216

    Arguments:
        network: The body of :math:`\varphi`; that of :math:`\psi` is ``mlp``.
        hidden: The size of :math:`h`, and the width of the hidden layers of all networks.
        layers: The number of hidden layers of each network.
        mask: Whether :math:`\varphi` is also told which values were observed; where all were, that changes
            nothing.
        floor: The smallest :math:`\log\sigma`.

    Example:
        >>> p = RecurrentPrior(DataSummary((10, 3), "real", torch.zeros(10, 3), steps=10), 2, hidden=8)
        >>> p.space.visible.event_shape, p.along(torch.zeros(7, 10, 3)).log_prob(torch.zeros(7, 10, 2)).shape
        ((10,), torch.Size([7]))
    """

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        network: Network = "mlp",
        hidden: Count = 64,
        layers: Size = 1,
        mask: Mask = False,
        floor: float = -5.0,
    ) -> None:
        super().__init__(data, latent, context=2 * hidden, shown=hidden)
        sizes: dict[str, int] = {"hidden": hidden, "layers": layers}
        self.frame = encoder(network, data.frame, (hidden,), **sizes, mask=mask)
        self.latent = build("mlp", (latent,), (hidden,), **sizes)
        self.normal = ConditionalNormal((hidden,), (latent,), **sizes, floor=floor)
        self.cell, self.state = Lstm((hidden, hidden), hidden), nn.Parameter(torch.zeros(2 * hidden))

    def start(self) -> Tensor:
        return self.state

    def law(self, h: Tensor) -> DiagonalNormal:
        normal: DiagonalNormal = self.normal(h.chunk(2, -1)[0])
        return normal

    def advance(self, h: Tensor, z: Tensor, x: Tensor | None) -> Tensor:
        return torch.cat(self.cell(self._features(z, x), *h.chunk(2, -1)), -1)

    def contexts(self, z: Tensor, x: Tensor | None) -> Tensor:
        first = self.start().expand(*z.shape[:-2], 1, -1)
        if z.shape[-2] == 1:
            return first
        before = None if x is None else x[:, :-1]
        return torch.cat([first, self.cell.scan(self._features(z[..., :-1, :], before), self.start())], -2)

    def _features(self, z: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the cell reads of a step, or of several."""
        if x is None:
            raise LvmbenchError(
                "prior 'recurrent' remembers x: p(z) is known along x alone, p.along(x) for x (B, T, *frame)"
            )
        return self.frame(x).relu(), self.latent(z).relu()
