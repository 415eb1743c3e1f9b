"""A model of one value whose every expectation is known:
by enumeration of a binary z, by quadrature of a normal one or a mixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lvmbench.checks.contract import Skip
from lvmbench.checks.partners import needs
from lvmbench.checks.sources import narrow
from lvmbench.combinations.parts import Parts
from lvmbench.combinations.requirements import capabilities
from lvmbench.decoder import Decoder
from lvmbench.distributions import Bernoulli, DiagonalNormal, Distribution, Mixture
from lvmbench.divergence import register_posterior
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Noise
from lvmbench.posterior import Posterior
from lvmbench.prior import Prior
from lvmbench.terms import Terms

NODES = 40
SEVERAL = 3
"""The most samples whose joint values are summed over."""


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


class ToyExact(Posterior):
    """The true posterior."""

    distribution = None

    def forward(self, x: Tensor, model: LatentVariableModel) -> Distribution:
        return model.exact_posterior(x)


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


class Toy(NamedTuple):
    """A toy model with an objective and an estimator, values of x ``(B, 1)``,
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
        z = torch.zeros(1, len(self.x), 1, dtype=self.x.dtype)
        truth = self.model.exact_posterior(self.x).log_prob(z)
        return (self.model.log_joint(self.x, z) - truth).squeeze(0)

    def terms(self, noise: Noise, repeats: int = 1, **options: Any) -> Terms:
        """The terms of each x, with each repeated."""
        x = self.x.repeat_interleave(repeats, 0)
        return Terms(self.model, x, noise, self.parts.objective.samples, **options)


def toys(
    objective: Any, estimator: Any, *, exact: Sequence[bool] = (False,), sharp: bool = False
) -> Iterator[Toy]:
    """The toy models that meet the requirements of an objective and an estimator.

    A `Skip` where there are none.

    ``exact`` is whether the posterior is the true one; ``sharp`` makes densities large, so that log p(x) is
    positive.
    """
    source = narrow()[1]
    objective.prepare(source.summary, LatentSpace((1,)))
    objective.double()
    scale = -3.0 if sharp else -0.3
    found = False
    for name, family, q in _posteriors(exact, scale):
        model = LatentVariableModel(ToyPrior(family, scale), q, ToyDecoder(scale + 0.4))
        parts = Parts(model, objective, estimator)
        provided = capabilities(source.data, parts)
        if needs(parts) <= provided:
            found = True
            with torch.no_grad():
                near = model.decode(torch.tensor([[0.3], [0.5]], dtype=torch.float64)).mean
            x = near if sharp else torch.tensor([[0.8], [-1.5]], dtype=torch.float64)
            yield Toy(f"{name}{', sharp' if sharp else ''}", parts, x, provided)
    if not found:
        raise Skip("no toy model meets its requirements")


def _posteriors(
    exact: Sequence[bool], log_scale: float
) -> Iterator[tuple[str, type[Distribution], Posterior]]:
    """The name of each toy, the family of its prior, and its posterior."""
    for family in (DiagonalNormal, Bernoulli):
        for true in exact:
            q = ToyExact() if true else ToyPosterior(family, log_scale)
            yield f"{family.__name__}{', exact posterior' if true else ''}", family, q
    if False in exact:
        yield "Mixture", DiagonalNormal, ToyMixture(log_scale)


class _Nothing(Noise):
    """For objectives that draw nothing but their samples of z."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        raise Skip("the objective draws more than the samples of z")

    uniform = normal


def expectation(toy: Toy, index: int, kl_weight: float = 1.0) -> Tensor:
    """The exact expectation of the objective at one x, ``()``, over all of its K samples."""
    model, count = toy.model, toy.parts.objective.samples
    if count > SEVERAL:
        raise Skip("its samples have too many joint values to sum over")
    kinks = {"log_weights", "smooth"} & toy.parts.objective.provides == {"log_weights"}
    if kinks and model.prior.distribution is not Bernoulli:
        raise Skip("quadrature over normal z is not exact where the objective has kinks")
    values, weights = _every(model.q(toy.x[index : index + 1]))
    joint = torch.cartesian_prod(*[torch.arange(len(values))] * count).reshape(-1, count).T  # (K, N)
    terms = Terms(model, toy.x[index].expand(joint.shape[1], 1), _Nothing(), count)
    bound: Tensor = toy.parts.objective(terms.having(values[joint]), kl_weight)
    return (weights[joint].prod(0) * bound).sum()


def _every(q: Any) -> tuple[Tensor, Tensor]:
    """Values of one z, ``(M, 1)``, and weights, ``(M,)``, that sum what is smooth in it over q
    of batch shape ``(1,)``.
    """
    if isinstance(q, Bernoulli):
        bits = torch.arange(2.0).double().unsqueeze(1)
        return bits, q.log_prob(bits).exp()
    normal, shares = (q.components, q.log_weights.exp()) if isinstance(q, Mixture) else (q, torch.ones(1, 1))
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(NODES))
    loc, scale = (t.reshape(-1, 1) for t in (normal.loc, normal.log_scale.exp()))
    return (loc + scale * nodes).reshape(-1, 1), (shares.T * weights / weights.sum()).flatten()
