"""The posterior of a diffusion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

from torch import Tensor

from lvmbench import DataSummary, LatentSpace, Noised, Positive, Posterior, Refusal

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class Noising(Posterior):
    r"""x with more and more noise, layer by layer, by the prior's schedule; nothing is learned.

    .. math:: q(z_t | x) = N(z_t; \alpha_t \tilde x, \sigma_t^2 I), \qquad
        q(z_t | z_{t-1}) = N\left(z_t; \tfrac{\alpha_t}{\alpha_{t-1}} z_{t-1},
        \left(\sigma_t^2 - \tfrac{\alpha_t^2}{\alpha_{t-1}^2} \sigma_{t-1}^2\right) I\right)

    where :math:`\tilde x` is x about zero: :math:`2x - 1` of data from 0 to 1, x less its training mean of
    others, and divided by ``scale``. Prior and decoder are as good as they take the noise away; the schedule
    is trained where it is the prior's to learn.

    References:
        Denoising Diffusion Probabilistic Models (Ho, Jain, Abbeel, 2020), https://arxiv.org/abs/2006.11239;
        Variational Diffusion Models (Kingma, Salimans, Poole, Ho, 2021), https://arxiv.org/abs/2107.00630

    Arguments:
        scale: What x is divided by once it is about zero; signal-to-noise ratios take it for of size 1.

    Example:
        >>> import torch
        >>> from lvmbench import LatentVariableModel, Stream
        >>> from lvmbench_plugins.decoders.gaussian import GaussianDecoder
        >>> from lvmbench_plugins.priors.diffusion import Diffusion
        >>> data = DataSummary((3,), "real", torch.zeros(3))
        >>> p = Diffusion(data, 8, steps=4)
        >>> model = LatentVariableModel(p, Noising(data, p.space), GaussianDecoder(data, p.space.visible))
        >>> model.q(torch.zeros(7, 3)).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 12])
    """

    distribution = Noised
    provides = frozenset({"reads_model"})
    requires = frozenset({"prior.schedule", "dataset.complete"})
    centre: Tensor

    def __init__(self, data: DataSummary, space: LatentSpace, *, scale: Positive = 1.0) -> None:
        super().__init__()
        size, layers = math.prod(data.event_shape), set(space.layers)
        if layers and layers != {size}:
            raise Refusal(
                f"noising adds noise to x itself, so that each layer has the size of x, {size}; the prior's "
                f"have {' and '.join(map(str, sorted(layers)))}, where a diffusion without the option size "
                "has that of x"
            )
        bounded = data.support in ("binary", "unit")
        self.scale = scale / 2 if bounded else scale
        centre = data.mean.new_full((size,), 0.5) if bounded else data.mean.flatten()
        self.register_buffer("centre", centre, persistent=False)

    def forward(self, x: Tensor, model: LatentVariableModel) -> Noised:
        p: Any = model.p()
        return Noised((x.flatten(1) - self.centre) / self.scale, p.gamma)
