"""The amortised Kumaraswamy posterior."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from lvmbench import Amortized, Count, DataSummary, LatentSpace, Size
from lvmbench.distributions import LogitKumaraswamy
from lvmbench.networks import Mask, Network, encoder

_LARGEST = math.log(1e3)


@final
class Kumaraswamy(Amortized):
    r"""Amortised logits of Kumaraswamy variables, the fractions of sticks under the prior `stick_breaking`.

    .. math:: z_k = \operatorname{logit} v_k, \qquad v_k = (1 - u_k^{1/b_k(x)})^{1/a_k(x)}, \qquad
        u_k \sim U(0, 1)

    As densities on (0, 1) they have the shapes of beta densities, and unlike these a quantile in closed form.
    Under `stick_breaking` the KL divergence is known, by quadrature. a and b are held between 1e-3 and 1e3.

    References:
        Stick-Breaking Variational Autoencoders (Nalisnick, Smyth, 2017), https://arxiv.org/abs/1605.06197

    Arguments:
        network: The body of :math:`\log a` and :math:`\log b`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = Kumaraswamy(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> q(torch.zeros(7, 3), None).mean.shape
        torch.Size([7, 2])
    """

    distribution = LogitKumaraswamy
    requires = frozenset({"prior.real"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.event_dims = len(space.event_shape)
        self.network = encoder(
            network, data, (2, *space.event_shape), hidden=hidden, layers=layers, mask=mask
        )

    def of(self, parameters: Tensor) -> LogitKumaraswamy:
        held = _LARGEST * (parameters / _LARGEST).tanh()
        log_a, log_b = torch.unbind(held, dim=-1 - self.event_dims)
        return LogitKumaraswamy(log_a, log_b, self.event_dims)
