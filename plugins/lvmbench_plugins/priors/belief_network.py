"""A sigmoid belief network as prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import nn

from lvmbench import Bernoulli, BinaryChain, Count, DataSummary, LatentSpace, Prior, Refusal, Sizes, sizes_of
from lvmbench.networks import ConditionalBernoulli

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel

DEPTH = {"linear": 0, "mlp": 1}
"""The number of hidden layers between two layers of bits."""


@final
class BeliefNetwork(Prior):
    r"""Layers of bits, each independent given the layer above; the decoder reads the bottom one.

    .. math:: p(z) = \prod_d \operatorname{Bernoulli}(z_{Ld}; \operatorname{sigmoid} b_d)
        \prod_{l < L} \prod_d \operatorname{Bernoulli}\big(z_{ld};
        \operatorname{sigmoid} f_{ld}(z_{l+1})\big)

    The bits of the top layer are fair at first. With one layer it is `bernoulli[learned=true]`. The latents
    of all layers together are the latent size that tables have. With the decoder `bernoulli[layers=0]`, whose
    logits are linear, x is one more layer of the network.

    References:
        Connectionist Learning of Belief Networks (Neal, 1992), https://doi.org/10.1016/0004-3702(92)90065-6;
        Neural Variational Inference and Learning in Belief Networks (Mnih, Gregor, 2014),
        https://arxiv.org/abs/1402.0030

    Arguments:
        layers: The sizes of the layers from the bottom up, as in ``32 8``, or ``"8"``, in quotes, for one;
            where it is not given, two that share the suite's latent size, the upper with a half of it.
        network: What :math:`f_l` are: ``linear``, or ``mlp``, with one hidden layer.
        hidden: The width of the hidden layer of ``mlp``.

    Example:
        >>> from lvmbench import DataSummary
        >>> prior = BeliefNetwork(DataSummary((3,), "binary", torch.zeros(3)), 5, layers="3 2")
        >>> prior.space.visible.event_shape, prior.space.size
        ((3,), 32)
    """

    distribution = BinaryChain

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        layers: Sizes | None = None,
        network: Literal["linear", "mlp"] = "linear",
        hidden: Count = 64,
    ) -> None:
        super().__init__()
        self.sizes = sizes_of(layers) if layers else _shared(latent)
        self.logits = nn.Parameter(torch.zeros(self.sizes[-1]))
        self.maps = nn.ModuleList(
            ConditionalBernoulli((above,), (below,), hidden=hidden, layers=DEPTH[network])
            for above, below in pairwise(self.sizes[::-1])
        )

    @classmethod
    def latent_size(cls, latent: int, options: Mapping[str, Any], data: Callable[[], DataSummary]) -> int:
        return sum(sizes_of(options["layers"])) if options["layers"] else latent

    @property
    def space(self) -> LatentSpace:
        return LatentSpace.layered(*self.sizes, support="binary")

    def forward(self, model: LatentVariableModel) -> BinaryChain:
        return BinaryChain(Bernoulli(self.logits), list(self.maps), self.sizes, top_down=True)


def _shared(latent: int) -> tuple[int, int]:
    """Two layers of so many latents together."""
    if latent < 2:
        raise Refusal(
            f"prior 'belief_network' needs a latent size of at least 2, a latent for each layer, got {latent}"
        )
    return latent - latent // 2, latent // 2
