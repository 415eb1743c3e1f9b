"""The negative binomial decoder for counts."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from lvmbench import Count, DataSummary, Decoder, LatentSpace, Size
from lvmbench.distributions import NegativeBinomial
from lvmbench.networks import Network
from lvmbench.networks import network as build


@final
class NegativeBinomialDecoder(Decoder):
    r"""Independent counts whose means are a network of z.

    .. math:: p(x|z) = \prod_d \operatorname{NB}(x_d; \mu_d(z), \alpha_d), \qquad
        \operatorname{Var} x_d = \mu_d + \alpha_d \mu_d^2

    With ``mean=free`` :math:`\log\mu = f(z) + b`, so that z also says how large the total of x is. With
    ``mean=shares`` it says the shares only: :math:`\mu = \ell \operatorname{softmax}(f(z) + b)`, with one
    learned mean total :math:`\ell` for all data.

    The total of the datum itself is no option. Models of cells take the observed library size for
    :math:`\ell`, which is p(x|z) with a total that it cannot know: it does not add up to one over x. With one
    column, the sum of :math:`\operatorname{NB}(x; x, \alpha)` over x is infinite.

    References:
        Deep Generative Modeling for Single-cell Transcriptomics (Lopez, Regier, Cole, Jordan, Yosef, 2018),
        https://doi.org/10.1038/s41592-018-0229-2

    Arguments:
        mean: Whether means are ``free``, or ``shares`` of one learned total.
        dispersion: Whether :math:`\log\alpha` is ``constant``, one learned number for each column, or made of
            z by the ``network``.
        network: The body of :math:`f`, and of the dispersion.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> p = NegativeBinomialDecoder(DataSummary((3,), "count", torch.ones(3)), LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 3)).shape
        torch.Size([5, 7])
    """

    distribution = NegativeBinomial
    requires = frozenset({"dataset.count"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        mean: Literal["free", "shares"] = "free",
        dispersion: Literal["constant", "network"] = "constant",
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
    ) -> None:
        super().__init__()
        event = data.event_shape
        self.event_dims = len(event)
        target = (2 if dispersion == "network" else 1, *event)
        self.network = build(network, space.event_shape, target, hidden=hidden, layers=layers)
        start = data.mean.clamp(min=0.01)
        self.offset = nn.Parameter(start.log())
        self.log_dispersion = nn.Parameter(torch.zeros(event))
        self.log_total = nn.Parameter(start.sum().log()) if mean == "shares" else None

    def forward(self, z: Tensor) -> NegativeBinomial:
        log_mean, *more = self.network(z).unbind(-1 - self.event_dims)
        log_mean = self._scaled(log_mean + self.offset)
        return NegativeBinomial(log_mean, sum(more, self.log_dispersion), self.event_dims)

    def _scaled(self, log_mean: Tensor) -> Tensor:
        """The log means as they are, or those of shares of the total."""
        if self.log_total is None:
            return log_mean
        flat = log_mean.flatten(-self.event_dims)
        return self.log_total + (log_mean - flat.logsumexp(-1)[(..., *[None] * self.event_dims)])
