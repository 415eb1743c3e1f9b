"""Toy models: of one value, whose every expectation is known by enumeration of a binary z or by quadrature of
a normal one or a mixture, and of sequences, whose log p(x) is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from lvmbench.checks.contract import Skip
from lvmbench.checks.partners import needs
from lvmbench.checks.sources import narrow, sequences
from lvmbench.combinations.parts import Parts
from lvmbench.combinations.requirements import capabilities
from lvmbench.dataset import Data, DataSummary
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
from lvmbench.noise import Noise
from lvmbench.observation import ended
from lvmbench.posterior import Posterior
from lvmbench.prior import MarkovPrior, Prior
from lvmbench.terms import Terms


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


class Toy(NamedTuple):
    """A toy model with an objective and an estimator, values of x, ``(B, 1)`` or ``(B, T, 1)``,
    and what the parts provide with such data.
    """

    name: str
    parts: Parts
    x: Tensor
    provided: frozenset[str]

    @property
    def model(self) -> LatentVariableModel:
        """The model."""
        return self.parts.model

    @property
    def log_p(self) -> Tensor:
        """The exact log p(x), ``(B,)``, from what is known at z = 0."""
        space = self.model.prior.space.along(self.x)
        z = self.x.new_zeros(1, len(self.x), *space.event_shape)
        truth = self.model.exact_posterior(self.x).log_prob(z)
        return (self.model.log_joint(self.x, z) - truth).squeeze(0)

    def terms(self, noise: Noise, repeats: int = 1, **options: Any) -> Terms:
        """The terms of each x, with each repeated."""
        x = self.x.repeat_interleave(repeats, 0)
        return Terms(self.model, x, noise, self.parts.objective.samples, **options)


def toys(
    objective: Any, estimator: Any, *, exact: Sequence[bool] = (False,), sharp: bool = False
) -> Iterator[Toy]:
    """The toy models that meet the requirements of an objective and an estimator: of one value, or else of
    sequences.

    A `Skip` where there are none.

    ``exact`` is whether the posterior is the true one; ``sharp`` makes densities large, so that log p(x) is
    positive.
    """
    for of in (_single, _sequential):
        found = False
        for name, model, data, x in of(exact, sharp):
            objective.prepare(data.summary, model.prior.space)
            parts = Parts(model, objective.double(), estimator)
            provided = capabilities(data, parts)
            if needs(parts) <= provided:
                found = True
                yield Toy(f"{name}{', sharp' if sharp else ''}", parts, x, provided)
        if found:
            return
    raise Skip("no toy model meets its requirements")


Made = tuple[str, LatentVariableModel, Data, Tensor]
"""The name of a toy, its model, data of the kind that it is for, and values of x."""


def _single(exact: Sequence[bool], sharp: bool) -> Iterator[Made]:
    scale = -3.0 if sharp else -0.3
    for name, family, q in _posteriors(exact, scale):
        model = LatentVariableModel(ToyPrior(family, scale), q, ToyDecoder(scale + 0.4))
        near = _emitted(model, [[0.3], [0.5]])
        x = near if sharp else torch.tensor([[0.8], [-1.5]], dtype=torch.float64)
        yield name, model, narrow()[1].data, x


def _sequential(exact: Sequence[bool], sharp: bool) -> Iterator[Made]:
    """Of two sequences of three steps, the second of which ends one earlier."""
    scale = -3.0 if sharp else -0.3
    for true in exact:
        q = ToyExact() if true else ToyFiltering(scale)
        model = LatentVariableModel(ToyChain(scale), q, ToyDecoder(scale + 0.4))
        near = _emitted(model, [[[0.3], [0.35], [0.4]], [[0.25], [0.3], [0.3]]])
        x = near if sharp else torch.tensor([[[0.8], [-0.5], [0.3]], [[-1.5], [0.2], [0.0]]]).to(near)
        x[1, 2] = torch.nan
        yield f"a chain{', exact posterior' if true else ''}", model, sequences()[0].data, x


@torch.no_grad()
def _emitted(model: LatentVariableModel, z: list[Any]) -> Tensor:
    """The mean of x, ``(B, *x)``, for ``z`` of shape ``(B, *z)``."""
    return model.decode(torch.tensor([z], dtype=torch.float64)).mean[0]


def _posteriors(
    exact: Sequence[bool], log_scale: float
) -> Iterator[tuple[str, type[Distribution], Posterior]]:
    """The name of each toy of one value, the family of its prior, and its posterior."""
    for family in (DiagonalNormal, Bernoulli):
        for true in exact:
            q = ToyExact() if true else ToyPosterior(family, log_scale)
            yield f"{family.__name__}{', exact posterior' if true else ''}", family, q
    if False in exact:
        yield "Mixture", DiagonalNormal, ToyMixture(log_scale)
        for family in (DiagonalNormal, Bernoulli):
            yield f"{family.__name__}, by rejection", family, ToyRejection(family, log_scale)
