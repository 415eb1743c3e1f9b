"""The ladder posterior of a hierarchy."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from lvmbench import Chain, Count, DataSummary, DiagonalNormal, LatentSpace, Posterior, Size
from lvmbench.distributions.chain import Conditional
from lvmbench.networks import ConditionalNormal, Mask, Network, encoder
from lvmbench.networks import network as build

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel


@final
class Ladder(Posterior):
    r"""Normals from the top layer down, each the prior's times what was read of x from the bottom up.

    .. math:: q(z|x) = N(z_L; \hat\mu_L(x), \operatorname{diag} \hat\sigma_L^2(x))
        \prod_{l < L} N(z_l; \mu_l, \operatorname{diag} \sigma_l^2)

    .. math:: \sigma_l^{-2} = \hat\sigma_l^{-2}(x) + \sigma_{p,l}^{-2}(z_{l+1}), \qquad
        \mu_l = \sigma_l^2 \left(\hat\sigma_l^{-2} \hat\mu_l + \sigma_{p,l}^{-2} \mu_{p,l}\right)

    where :math:`N(z_l; \mu_{p,l}(z_{l+1}), \operatorname{diag} \sigma_{p,l}^2(z_{l+1}))` is the prior's. What
    is read of x goes up without noise: with :math:`d_0 = x`, the features
    :math:`d_l = \operatorname{silu} f_l(d_{l-1})` are those that :math:`\hat\mu_l` and
    :math:`\log\hat\sigma_l` are linear in. The product is the true posterior where p(x given :math:`z_l`) is
    normal in :math:`z_l`, with independent coordinates. The paper normalises batches, which no posterior here
    does, as each datum is treated alone; its warm-up is the objective's, or the budget's.

    References:
        Ladder Variational Autoencoders (Sonderby, Raiko, Maaloe, Sonderby, Winther, 2016),
        https://arxiv.org/abs/1602.02282

    Arguments:
        network: The body of :math:`f_1`; those of the layers above are ``mlp``.
        hidden: The number of features :math:`d_l`, and the width of the hidden layers.
        layers: The number of hidden layers of each :math:`f_l`.
        mask: Whether :math:`f_1` is also told which values were observed; where all were, that changes
            nothing.

    Example:
        >>> from lvmbench import LatentVariableModel, Stream
        >>> from lvmbench_plugins.decoders.gaussian import GaussianDecoder
        >>> from lvmbench_plugins.priors.hierarchy import Hierarchy
        >>> data = DataSummary((3,), "real", torch.zeros(3))
        >>> p = Hierarchy(data, 8, layers="6 2")
        >>> q = Ladder(data, p.space)
        >>> model = LatentVariableModel(p, q, GaussianDecoder(data, p.space.visible))
        >>> model.q(torch.zeros(7, 3)).sample(Stream.seeded(0), 5).shape
        torch.Size([5, 7, 8])
    """

    distribution = Chain
    provides = frozenset({"reads_model"})
    requires = frozenset({"prior.top_down"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 1,
        mask: Mask = False,
    ) -> None:
        super().__init__()
        self.sizes = space.layers or (space.vector("ladder"),)
        self.first = encoder(network, data, (hidden,), hidden=hidden, layers=layers, mask=mask)
        self.above = nn.ModuleList(
            build("mlp", (hidden,), (hidden,), hidden=hidden, layers=layers) for _ in self.sizes[1:]
        )
        self.heads = nn.ModuleList(
            ConditionalNormal((hidden,), (size,), hidden=hidden, layers=0) for size in self.sizes
        )

    def forward(self, x: Tensor, model: LatentVariableModel) -> Chain:
        p: Any = model.p()
        *told, top = self._told(x)
        conditionals = [partial(_product, one, c) for one, c in zip(told[::-1], p.conditionals, strict=True)]
        return Chain(top, conditionals, self.sizes, top_down=True)

    def _told(self, x: Tensor) -> list[DiagonalNormal]:
        """What x says of each layer, of batch shape ``(B,)``, from the bottom up."""
        features = [silu(self.first(x))]
        for network in self.above:
            features.append(silu(network(features[-1])))
        return [head(d) for head, d in zip(self.heads, features, strict=True)]


def _product(told: DiagonalNormal, conditional: Conditional, above: Tensor) -> DiagonalNormal:
    """The normal that is in proportion to the product of two:
    what x says, and the prior's given the layer above.
    """
    p: Any = conditional(above)
    # in logs, as precisions may be too large or too small for a float
    share = torch.sigmoid(2 * (p.log_scale - told.log_scale))
    log_scale = -0.5 * torch.logaddexp(-2 * told.log_scale, -2 * p.log_scale)
    return DiagonalNormal(torch.lerp(p.loc, told.loc, share), log_scale)
