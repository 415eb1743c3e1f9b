"""A hierarchy of layers as prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import Tensor, nn

from lvmbench import (
    Chain,
    Count,
    DataSummary,
    DiagonalNormal,
    Distribution,
    LatentSpace,
    LinearChain,
    Prior,
    Refusal,
    Sizes,
    sizes_of,
)
from lvmbench.networks import ConditionalNormal

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class Hierarchy(Prior):
    r"""Layers of normals, each given the layer above; the decoder reads the bottom one.

    .. math:: p(z) = N(z_L; 0, I) \prod_{l < L} N(z_l; \mu_l(z_{l+1}), \operatorname{diag}
        \sigma_l^2(z_{l+1}))

    With one layer it is the standard normal. The latents of all layers together are the latent size that
    tables have.

    References:
        Stochastic Backpropagation and Approximate Inference in Deep Generative Models (Rezende, Mohamed,
        Wierstra, 2014), https://arxiv.org/abs/1401.4082;
        Ladder Variational Autoencoders (Sonderby, Raiko, Maaloe, Sonderby, Winther, 2016),
        https://arxiv.org/abs/1602.02282

    Arguments:
        layers: The sizes of the layers from the bottom up, as in ``32 8``, or ``"8"``, in quotes, for one;
            where it is not given, two that share the suite's latent size, the upper with a third of it.
        network: What :math:`\mu_l` and :math:`\log\sigma_l` are: ``mlp``, with one hidden layer, or
            ``linear``, where :math:`\sigma_l` does not depend on the layer above; all layers together are
            then normal.
        hidden: The width of the hidden layer of ``mlp``.
        floor: The smallest :math:`\log\sigma_l` of ``mlp``. Without one, a layer that is all but a function
            of the layer above grows ever more certain, until densities overflow.

    Example:
        >>> from lvmbench import DataSummary
        >>> Hierarchy(DataSummary((3,), "real", torch.zeros(3)), 8, layers="6 3").space.visible.event_shape
        (6,)
    """

    version = 2
    distribution: type[Distribution] = Chain  # or LinearChain, as the network has it
    provides = frozenset({"top_down"})
    zeros: Tensor

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        layers: Sizes | None = None,
        network: Literal["mlp", "linear"] = "mlp",
        hidden: Count = 64,
        floor: float = -5.0,
    ) -> None:
        super().__init__()
        self.sizes = sizes_of(layers) if layers else _shared(latent)
        self.distribution = LinearChain if network == "linear" else Chain
        self.maps = nn.ModuleList(
            _Linear(above, below)
            if network == "linear"
            else ConditionalNormal((above,), (below,), hidden=hidden, layers=1, floor=floor)
            for above, below in pairwise(self.sizes[::-1])
        )
        self.register_buffer("zeros", torch.zeros(self.sizes[-1]), persistent=False)

    @classmethod
    def latent_size(cls, latent: int, options: Mapping[str, Any], data: Callable[[], DataSummary]) -> int:
        return sum(sizes_of(options["layers"])) if options["layers"] else latent

    @property
    def space(self) -> LatentSpace:
        return LatentSpace.layered(*self.sizes)

    def forward(self, model: LatentVariableModel) -> Chain:
        top = DiagonalNormal(self.zeros, self.zeros)
        if self.distribution is LinearChain:
            return LinearChain(top, [m() for m in self.maps], self.sizes, top_down=True)
        return Chain(top, list(self.maps), self.sizes, top_down=True)


def _shared(latent: int) -> tuple[int, int]:
    """Two layers of so many latents together."""
    if latent < 2:
        raise Refusal(
            f"prior 'hierarchy' needs a latent size of at least 2, a latent for each layer, got {latent}"
        )
    above = max(latent // 3, 1)
    return latent - above, above


class _Linear(nn.Module):
    """A normal whose mean is linear in the layer above."""

    def __init__(self, above: int, below: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(below, above) / above**0.5)
        self.bias, self.log_scale = nn.Parameter(torch.zeros(below)), nn.Parameter(torch.zeros(below))

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weight, bias and log scale."""
        return self.weight, self.bias, self.log_scale
