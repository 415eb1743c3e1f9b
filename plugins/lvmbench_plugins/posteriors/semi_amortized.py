"""Semi-amortised inference: a network says where the ascent of each datum starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from lvmbench import Count, DataSummary, DiagonalNormal, LatentSpace, Positive, Searched, Size, Varying
from lvmbench.networks import Mask, Network, encoder
from lvmbench_plugins.posteriors._refine import refine

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class SemiAmortized(Searched):
    r"""A normal with independent coordinates that a network proposes and gradient ascent on the ELBO refines.

    .. math:: \lambda_0 = f_\phi(x), \qquad
        \lambda_{t+1} = \lambda_t + \rho_t F(\lambda_t)^{-1} \nabla_\lambda \mathrm{ELBO}(x; \lambda_t)

    with the steps of `svi`, those of the natural gradient, which shrink from :math:`\rho` to zero as a
    cosine. With ``through`` the gradient of the bound reaches the network through the steps. Without, the
    steps count as a shift that does not depend on :math:`\phi`: the network gets the gradient at
    :math:`\lambda_T` as if it were at :math:`\lambda_0`, and the model is trained at :math:`\lambda_T` held
    fixed. The random numbers of the steps are drawn once, as those of `svi`.

    References:
        Semi-Amortized Variational Autoencoders (Kim, Wiseman, Miller, Sontag, Rush, 2018),
        https://arxiv.org/abs/1802.02550

    Arguments:
        steps: The number of steps :math:`T`; with none it is the amortised posterior.
        rate: The first step size :math:`\rho`.
        pairs: The number of pairs of samples that each gradient is taken from.
        through: Whether gradients pass through the steps.
        network: The body of :math:`f`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = SemiAmortized(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)), steps=0)
        >>> q(torch.zeros(7, 3), None).mean.shape
        torch.Size([7, 2])
    """

    version = 2
    distribution = DiagonalNormal
    provides = frozenset({"reads_model"})
    requires = frozenset({"prior.real", "prior.density", "decoder.density"})
    noise: Tensor
    rate: Tensor

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        steps: Size = 5,
        rate: Varying[Positive] = 0.5,
        pairs: Count = 2,
        through: bool = True,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.event_dims, self.through = len(space.event_shape), through
        refined = self.provides if through else self.provides | {"held_fixed"}
        self.provides = refined if steps else frozenset({"amortized"})
        self.network = encoder(
            network, data, (2, *space.event_shape), hidden=hidden, layers=layers, mask=mask
        )
        self.register_buffer("rate", torch.tensor(rate), persistent=False)
        self.register_buffer("noise", torch.randn(steps, pairs, *space.event_shape))

    def search(self, x: Tensor, model: LatentVariableModel) -> Tensor:
        start: Tensor = self.network(x)
        if self.through:
            return self._refined(start, x, model)
        with torch.no_grad():
            found = self._refined(start.detach(), x, model)
        # the value is where the ascent ended, the gradient that of where it began
        return start + (found - start).detach()

    def of(self, parameters: Tensor) -> DiagonalNormal:
        return DiagonalNormal.of(parameters, self.event_dims)

    def _refined(self, start: Tensor, x: Tensor, model: LatentVariableModel) -> Tensor:
        side = -1 - self.event_dims
        loc, log_scale = torch.unbind(start, side)
        return torch.stack(refine(model, x, (loc, log_scale), self.noise, self.rate), side)
