"""Toy models: of one value, whose every expectation is known by enumeration of a binary z or by quadrature of
a normal one or a mixture, and of sequences, whose log p(x) is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lvmbench.checks.contract import Skip
from lvmbench.checks.partners import needs
from lvmbench.checks.sources import narrow, sequences
from lvmbench.checks.toy_parts import (
    ToyChain,
    ToyDecoder,
    ToyExact,
    ToyFiltering,
    ToyMixture,
    ToyPosterior,
    ToyPrior,
    ToyRejection,
)
from lvmbench.combinations.parts import Parts
from lvmbench.combinations.requirements import capabilities
from lvmbench.dataset import Data
from lvmbench.distributions import Bernoulli, DiagonalNormal, Distribution
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Noise
from lvmbench.posterior import Posterior
from lvmbench.terms import Terms


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
