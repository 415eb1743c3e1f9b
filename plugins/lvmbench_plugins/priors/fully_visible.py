"""The prior of bits that are known in training: a fully visible network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, final

from lvmbench import DataSummary, LatentSpace, Positive, Prior, Size
from lvmbench.distributions import AutoregressiveBernoulli
from lvmbench_plugins.priors._fully_visible import Form, Network

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel, Split


@final
class FullyVisiblePrior(Prior):
    r"""Bits in an order, each a logistic regression on those before it, fitted to the known factors.

    .. math:: p(z) = \prod_d \operatorname{Bernoulli}\Big(z_d; \operatorname{sigmoid}\big(b_d +
        \sum_{e < d} W_{de}\, z_e\big)\Big)

    The latents are the binary factors of the data, and as many. Before the first epoch :math:`b` and
    :math:`W` are set to maximise :math:`\sum_n \log p(z_n) - \frac{\lambda}{2} (\|b\|^2 + \|W\|^2)` over the
    factors of the training data, and stay there. With ``tree`` a bit depends on one before it alone, on that
    which tells most of it, so that the bits make up the best tree in their order. With the decoder of the
    same name it is one network of latents and data, latents first.

    References:
        Connectionist Learning of Belief Networks (Neal, 1992), https://doi.org/10.1016/0004-3702(92)90065-6;
        Graphical Models for Machine Learning and Digital Communication (Frey, 1998),
        https://mitpress.mit.edu/9780262062022;
        Approximating Discrete Probability Distributions with Dependence Trees (Chow, Liu, 1968),
        https://doi.org/10.1109/TIT.1968.1054142

    Arguments:
        form: ``logistic``, or ``tree``.
        ridge: The penalty :math:`\lambda`.
        iterations: The steps of accelerated gradient ascent from fair bits; few leave it at the beginning of
            learning, and with none it is that of fair bits.

    Example:
        >>> from lvmbench import DataSummary, Split
        >>> prior = FullyVisiblePrior(DataSummary((3,), "binary", torch.zeros(3), factors=2), 2)
        >>> prior.refresh(Split(torch.zeros(4, 3), factors=torch.tensor([[0, 0], [1, 1]] * 2)), None)
        >>> (prior(None).log_prob(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).exp() > 0.25).tolist()
        [True, False]
    """

    distribution = AutoregressiveBernoulli
    requires = frozenset({"dataset.factors", "dataset.binary_factors"})
    refreshes = True

    def __init__(
        self,
        data: DataSummary,
        latent: int,
        *,
        form: Form = "logistic",
        ridge: Positive = 1.0,
        iterations: Size = 1000,
    ) -> None:
        super().__init__()
        size = data.factors or latent  # where there are none, what is required says so
        self.shape = (size,)
        self.network = Network(0, size, form, ridge, iterations)

    @classmethod
    def latent_size(cls, latent: int, options: Mapping[str, Any], data: Callable[[], DataSummary]) -> int:
        return data().factors or latent

    @property
    def space(self) -> LatentSpace:
        return LatentSpace(self.shape, "binary")

    def forward(self, model: LatentVariableModel) -> AutoregressiveBernoulli:
        p: AutoregressiveBernoulli = self.network(self.network.bias[:0], self.shape)
        return p

    def refresh(self, train: Split, model: LatentVariableModel) -> None:
        assert train.factors is not None
        z = train.factors.to(self.network.bias)
        self.network.fit(z[:, :0], z)
