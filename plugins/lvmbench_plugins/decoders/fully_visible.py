"""The decoder of bits whose latents are known in training: a fully visible network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

from torch import Tensor

from lvmbench import DataSummary, Decoder, LatentSpace, Positive, Refusal, Size
from lvmbench.distributions import AutoregressiveBernoulli
from lvmbench_plugins.priors._fully_visible import Form, Network

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel, Split


@final
class FullyVisibleDecoder(Decoder):
    r"""Binary values in an order, each a logistic regression on all latents and the values before it.

    .. math:: p(x|z) = \prod_i \operatorname{Bernoulli}\Big(x_i; \operatorname{sigmoid}\big(b_i + V_i^\top z +
        \sum_{j < i} W_{ij}\, x_j\big)\Big)

    The order is that of the values in memory: of an image, row by row from the top. The latents are the
    binary factors of the data. Before the first epoch the weights are set to maximise
    :math:`\sum_n \log p(x_n|z_n)`, less the ridge, over the training data with their factors, and stay there.
    With ``tree`` a value depends on one latent or earlier value alone, on that which tells most of it. With
    the prior of the same name it is one network of latents and data, latents first.

    References:
        Connectionist Learning of Belief Networks (Neal, 1992), https://doi.org/10.1016/0004-3702(92)90065-6;
        Graphical Models for Machine Learning and Digital Communication (Frey, 1998),
        https://mitpress.mit.edu/9780262062022;
        Approximating Discrete Probability Distributions with Dependence Trees (Chow, Liu, 1968),
        https://doi.org/10.1109/TIT.1968.1054142

    Arguments:
        form: ``logistic``, or ``tree``.
        ridge: The penalty :math:`\frac{\lambda}{2} \|\cdot\|^2` on all weights.
        iterations: The steps of accelerated gradient ascent from fair bits; few leave it at the beginning of
            learning, and with none it is that of fair bits.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> data = DataSummary((1, 4, 8), "binary", torch.zeros(1, 4, 8), factors=2)
        >>> p = FullyVisibleDecoder(data, LatentSpace((2,), "binary"))(torch.zeros(5, 7, 2))
        >>> p.log_prob(torch.ones(7, 1, 4, 8)).shape
        torch.Size([5, 7])
    """

    distribution = AutoregressiveBernoulli
    requires = frozenset(
        {
            "dataset.binary",
            "dataset.complete",
            "dataset.factors",
            "dataset.binary_factors",
            "prior.binary",
        }
    )
    refreshes = True

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        form: Form = "logistic",
        ridge: Positive = 1.0,
        iterations: Size = 1000,
    ) -> None:
        super().__init__()
        self.shape, latents = data.event_shape, math.prod(space.event_shape)
        if data.factors not in (0, latents):  # where there are none, what is required says so
            raise Refusal(
                f"decoder 'fully_visible' needs a latent for each factor of the data, of which there are "
                f"{data.factors}, got {latents}; say latent: {data.factors}"
            )
        self.network = Network(latents, math.prod(self.shape), form, ridge, iterations)

    def forward(self, z: Tensor) -> AutoregressiveBernoulli:
        p: AutoregressiveBernoulli = self.network(z.flatten(2), self.shape)
        return p

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        assert train.factors is not None
        self.network.fit(train.factors.to(self.network.bias), train.x.flatten(1).to(self.network.bias))
