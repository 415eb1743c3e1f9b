"""The amortised discrete posterior that is trained through relaxed samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from lvmbench import (
    Bernoulli,
    Categorical,
    Count,
    DataSummary,
    Distribution,
    LatentSpace,
    Positive,
    Posterior,
    Refusal,
    Size,
    Varying,
)
from lvmbench.distributions import (
    RelaxedBernoulli,
    RelaxedCategorical,
    StraightThroughBernoulli,
    StraightThroughCategorical,
)
from lvmbench.networks import Mask, Network, encoder

if TYPE_CHECKING:
    from lvmbench import LatentVariableModel

SOFT: dict[str, Any] = {"binary": RelaxedBernoulli, "one_hot": RelaxedCategorical}
HARD: dict[str, Any] = {"binary": StraightThroughBernoulli, "one_hot": StraightThroughCategorical}
LAWS: dict[str, Any] = {"binary": Bernoulli, "one_hot": Categorical}


@final
class RelaxedPosterior(Posterior):
    r"""An amortised discrete posterior, trained through Gumbel-softmax or binary concrete samples.

    .. math:: z = \operatorname{softmax}\left(\frac{\ell(x) + \epsilon}{\tau}\right), \quad
        \epsilon_c \sim \mathrm{Gumbel}

    While it trains, the objective is followed at relaxed samples, where log q and log p are those of the
    discrete laws, linear in the value; that is no bound. `elbo[kl=analytic]` takes the discrete KL divergence
    in their place, as the papers do. What is reported and measured is the discrete posterior of the same
    logits :math:`\ell(x)`. The relaxed gradients are biased by the temperature, those of straight-through
    samples also by their rounding.

    References:
        Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2017),
        https://arxiv.org/abs/1611.01144;
        The Concrete Distribution (Maddison, Mnih, Teh, 2017), https://arxiv.org/abs/1611.00712;
        Estimating or Propagating Gradients Through Stochastic Neurons (Bengio, Leonard, Courville, 2013),
        https://arxiv.org/abs/1308.3432 (straight-through)

    Arguments:
        network: The body of :math:`\ell`.
        hidden: The width of its hidden layers.
        layers: The number of its hidden layers.
        mask: Whether the network is also told which values were observed; where all were, that changes
            nothing.
        temperature: The temperature :math:`\tau` at first.
        final_temperature: The temperature after annealing, which is geometric in the step.
        anneal: The number of training steps that annealing takes; 0 keeps the first temperature.
        straight_through: Whether samples are rounded to discrete values, with the gradients of the relaxed
            ones.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> q = RelaxedPosterior(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2, 5), "one_hot"))
        >>> q(torch.zeros(7, 3), None).law.mean.shape
        torch.Size([7, 2, 5])
    """

    distribution: type[Distribution] | None = RelaxedCategorical  # or of another support, as the prior has it
    provides = frozenset({"amortized"})
    first: Tensor
    ratio: Tensor
    steps: Tensor

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        network: Network = "mlp",
        hidden: Count = 128,
        layers: Size = 2,
        mask: Mask = False,
        temperature: Varying[Positive] = 1.0,
        final_temperature: Varying[Positive] = 0.5,
        anneal: Size = 0,
        straight_through: bool = False,
    ) -> None:
        super().__init__()
        if space.support not in LAWS:
            raise Refusal(
                f"posterior 'relaxed' needs a prior of binary or one_hot support, got '{space.support}'"
            )
        self.law = LAWS[space.support]
        self.distribution = (HARD if straight_through else SOFT)[space.support]
        self.event_dims = len(space.event_shape)
        self.network = encoder(network, data, space.event_shape, hidden=hidden, layers=layers, mask=mask)
        self.anneal = anneal
        self.register_buffer("first", torch.tensor(temperature), persistent=False)
        self.register_buffer("ratio", torch.tensor(final_temperature / temperature), persistent=False)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        law = self.law(self.network(x), self.event_dims)
        build_relaxed: Any = self.distribution
        q: Distribution = build_relaxed(law, self._temperature())
        return q

    def _temperature(self) -> Tensor:
        """The temperature of this step, which is counted while training."""
        progress = (self.steps / self.anneal).clamp(max=1.0) if self.anneal else torch.zeros_like(self.steps)
        if self.training:
            self.steps.add_(1)
        return self.first * self.ratio**progress
