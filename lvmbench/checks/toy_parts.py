"""The parts of toy models: priors, posteriors and a decoder of few weights, and what is known of them."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from lvmbench.dataset import DataSummary
from lvmbench.decoder import Decoder
from lvmbench.distributions import (
    Bernoulli,
    DiagonalNormal,
    Distribution,
    LinearDynamics,
    LinearMove,
    LinearSteps,
    Memory,
    Mixture,
    Resampled,
    Step,
    Steps,
)
from lvmbench.divergence import register_posterior
from lvmbench.kernels.kalman import linear_posterior
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.observation import ended
from lvmbench.posterior import Posterior
from lvmbench.prior import MarkovPrior, Prior


def _weights(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


class ToyPrior(Prior):
    """A prior of either family over one value."""

    def __init__(self, family: type[Distribution], log_scale: float) -> None:
        super().__init__()
        self.distribution = family
        self.weights = _weights(0.3, log_scale)

    @property
    def space(self) -> LatentSpace:
        return LatentSpace((1,), self.distribution.support)

    def forward(self, model: LatentVariableModel) -> Distribution:
        return _of(self.distribution, self.weights[:1], self.weights[1:])


class ToyPosterior(Posterior):
    """A posterior of either family, linear in x."""

    provides = frozenset({"amortized"})

    def __init__(self, family: type[Distribution], log_scale: float) -> None:
        super().__init__()
        self.distribution = self.family = family
        self.weights = _weights(0.5, 0.2, log_scale)

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        return _of(self.family, self.weights[0] * x + self.weights[1], self.weights[2:])


class ToyMixture(Posterior):
    """A posterior of two normals, whose weights, too, are linear in x."""

    distribution = Mixture[DiagonalNormal]
    provides = frozenset({"amortized"})

    def __init__(self, log_scale: float) -> None:
        super().__init__()
        self.weights = nn.Parameter(
            torch.tensor([[0.3, 0.2], [0.5, -0.2], [0.2, 0.8], [log_scale, log_scale - 0.2]]).double()
        )

    def forward(self, x: Tensor, model: LatentVariableModel) -> Mixture[DiagonalNormal]:
        in_logits, slope, offset, log_scale = self.weights
        loc = (slope * x + offset).unsqueeze(-1)  # (B, C, 1)
        return Mixture(in_logits * x, DiagonalNormal(loc, log_scale.unsqueeze(-1)))


class ToyRejection(Posterior):
    """One of two proposals of a posterior of either family."""

    provides = frozenset({"reads_model"})

    def __init__(self, family: type[Distribution], log_scale: float) -> None:
        super().__init__()
        generic: Any = Resampled
        self.base, self.distribution = ToyPosterior(family, log_scale), generic[family]

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        return Resampled(self.base(x, model), partial(model.log_joint, x), 2, 0.6)


class ToyExact(Posterior):
    """The true posterior."""

    distribution = None

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        return model.exact_posterior(x)


class ToyChain(MarkovPrior):
    """A chain of one value in each of three steps."""

    distribution = LinearDynamics

    def __init__(self, log_scale: float) -> None:
        super().__init__(DataSummary((3, 1), "real", torch.zeros(3, 1), steps=3), 1)
        self.double()
        self.weights = _weights(0.3, log_scale, 0.8, 0.1, log_scale)

    def of(self, memory: Memory) -> LinearDynamics:
        loc, log_scale, weight, bias, log_noise = self.weights.split(1)
        move = LinearMove(DiagonalNormal(loc, log_scale), weight.unsqueeze(0), bias, log_noise)
        return LinearDynamics(memory, move, self.along)

    def law(self, h: Tensor) -> DiagonalNormal:
        return self.of(self.memory()).move(h)


class ToyFiltering(Posterior):
    """Each step is linear in the step before and in x."""

    distribution = Steps
    provides = frozenset({"reads_model"})

    def __init__(self, log_scale: float) -> None:
        super().__init__()
        self.weights = _weights(0.4, 0.3, 0.1, log_scale)

    def forward(self, x: Tensor, model: LatentVariableModel) -> Steps:
        (values, _), weights = ended(x), self.weights
        memory = cast(ToyChain, model.prior).memory(x)

        def law(t: Step, h: Tensor) -> DiagonalNormal:
            return DiagonalNormal(
                weights[0] * h[..., :-1] + weights[1] * values[:, t] + weights[2], weights[3:]
            )

        return Steps(memory, law)


class ToyDecoder(Decoder):
    """x is normal about a line in z."""

    distribution = DiagonalNormal

    def __init__(self, log_scale: float) -> None:
        super().__init__()
        self.weights = _weights(1.2, -0.3, log_scale)

    def forward(self, z: Tensor) -> DiagonalNormal:
        return DiagonalNormal(self.weights[0] * z + self.weights[1], self.weights[2])


def _of(family: type[Distribution], loc: Tensor, log_scale: Tensor) -> Distribution:
    return Bernoulli(loc) if family is Bernoulli else DiagonalNormal(loc, log_scale)


@register_posterior(DiagonalNormal, ToyDecoder)
def _normal(p: DiagonalNormal, decoder: ToyDecoder, x: Tensor) -> DiagonalNormal:
    slope, offset, log_scale = decoder.weights
    precision = (-2 * p.log_scale).exp() + slope**2 * (-2 * log_scale).exp()
    target = p.loc * (-2 * p.log_scale).exp() + slope * (x - offset) * (-2 * log_scale).exp()
    return DiagonalNormal(target / precision, -0.5 * precision.log())


@register_posterior(Bernoulli, ToyDecoder)
def _binary(p: Bernoulli, decoder: ToyDecoder, x: Tensor) -> Bernoulli:
    on, off = (decoder(torch.full_like(x, z)).log_prob(x).unsqueeze(-1) for z in (1.0, 0.0))
    return Bernoulli(p.logits + on - off)


@register_posterior(LinearDynamics, ToyDecoder)
def _chain(p: LinearDynamics, decoder: ToyDecoder, x: Tensor) -> LinearSteps:
    slope, offset, log_scale = decoder.weights.split(1)
    return linear_posterior(p, slope.unsqueeze(0), offset, log_scale, x)
