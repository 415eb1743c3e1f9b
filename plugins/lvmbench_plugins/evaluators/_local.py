"""Posteriors whose parameters belong to one datum each, and their optimisation, vectorised over data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor

from lvmbench import (
    Amortized,
    DiagonalNormal,
    Distribution,
    MultivariateNormal,
    Noise,
    Posterior,
    cholesky,
)
from lvmbench.kernels.eager import eager
from lvmbench.kernels.planar import PlanarMap
from lvmbench_plugins.evaluators._common import Target


class Family(ABC):
    """Free parameters of each datum, ``(B, ...)``, and the distribution that they give.

    All parameters zero give the normal that it begins from: they are in units of it.
    """

    parameters: list[Tensor]

    @property
    @abstractmethod
    def q(self) -> Distribution:
        """The distribution, of batch shape ``(B,)``, that the parameters give now."""

    @property
    def sloped(self) -> bool:
        """Whether the slope of its log density is known at its draws."""
        return not self.q.traits.isdisjoint({"density", "slope"})


@final
class Diagonal(Family):
    """Normals with independent coordinates."""

    def __init__(self, first: DiagonalNormal) -> None:
        self.first = first
        self.parameters = [torch.zeros_like(first.loc), torch.zeros_like(first.loc)]

    @property
    def q(self) -> DiagonalNormal:
        shift, log_ratio = self.parameters
        loc = self.first.loc + self.first.log_scale.exp() * shift
        return DiagonalNormal(loc, self.first.log_scale + log_ratio, self.first.event_dims)


@final
class Full(Family):
    """Normals with a full covariance."""

    def __init__(self, first: MultivariateNormal) -> None:
        self.loc, self.factor = first.loc, first.scale_tril.expand(*first.loc.shape, first.loc.shape[-1])
        self.parameters = [
            torch.zeros_like(self.loc),
            torch.zeros_like(self.loc),
            torch.zeros_like(self.factor),
        ]

    @property
    def q(self) -> MultivariateNormal:
        shift, log_ratio, lower = self.parameters
        loc = self.loc + (self.factor @ shift.unsqueeze(-1)).squeeze(-1)
        # a product of lower triangles is one; with all parameters at zero it is the factor itself
        return MultivariateNormal(loc, self.factor @ (lower.tril(-1) + torch.diag_embed(log_ratio.exp())))


@final
class Planar(Distribution):
    """A distribution sent through planar maps.

    ``u`` and ``w`` are ``(B, M, D)`` and ``b`` is ``(B, M)`` for M maps; the coordinates are in units of
    ``centre``, a location and a scale, ``(B, *z)`` each.
    """

    traits = frozenset({"pathwise", "slope"})

    def __init__(
        self, base: Distribution, centre: tuple[Tensor, Tensor], u: Tensor, w: Tensor, b: Tensor
    ) -> None:
        self.base, self.centre = base, centre
        parts = zip(u.unbind(1), w.unbind(1), b.unsqueeze(-1).unbind(1), strict=True)
        self.maps = [PlanarMap(*part) for part in parts]

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("planar maps have no inverse in closed form")

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        z, log_q = self.base.sample_and_log_prob(noise, samples)
        z, log_q, _ = self._through(z, log_q, torch.zeros_like(z))
        return z, log_q

    def sample_with_slope(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        z, log_q, slope = self._through(*self.base.sample_with_slope(noise, samples))
        return z, log_q, slope.detach()

    def _through(self, z: Tensor, log_q: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loc, scale = self.centre
        v, s = ((z - loc) / scale).flatten(2), (slope * scale).flatten(2)
        for step in self.maps:
            v, log_det, s = step.with_slope(v, s)
            log_q = log_q - log_det
        return loc + scale * v.reshape(z.shape), log_q, s.reshape(z.shape) / scale


@final
class Free(Family):
    """Whatever an amortised posterior makes of parameters that are free for each datum."""

    def __init__(self, posterior: Amortized, first: Tensor) -> None:
        self.posterior, self.first = posterior, first
        self.parameters = [torch.zeros_like(first)]

    @property
    def q(self) -> Distribution:
        return self.posterior.of(self.first + self.parameters[0])


@final
class Fixed(Family):
    """A distribution alone."""

    def __init__(self, first: Distribution) -> None:
        self.first, self.parameters = first, []

    @property
    def q(self) -> Distribution:
        return self.first


@final
class Flow(Family):
    """Planar maps on the members of another family: that family itself while every u is zero."""

    def __init__(self, base: Family, centre: tuple[Tensor, Tensor], maps: int, noise: Noise) -> None:
        self.base, self.centre, self.count = base, centre, len(base.parameters)
        size, dimensions = len(centre[0]), centre[0][0].numel()
        # with w at zero, too, no parameter would have a gradient
        w = noise.normal((size, maps, dimensions)).to(centre[0])
        self.parameters = [*base.parameters, torch.zeros_like(w), w, torch.zeros_like(w[..., 0])]

    @property
    def q(self) -> Planar:
        self.base.parameters = self.parameters[: self.count]
        return Planar(self.base.q, self.centre, *self.parameters[self.count :])

    @property
    def sloped(self) -> bool:
        return self.base.sloped


def log_weights(target: Target, q: Distribution, noise: Noise, samples: int) -> Tensor:
    """log p(x, z) - log q(z) of draws from q, ``(K, B)``."""
    z, log_q = q.sample_and_log_prob(noise, samples)
    return target(z) - log_q


def path_log_weights(target: Target, family: Family, noise: Noise, samples: int) -> Tensor:
    """The same of a family's draws, with log q held fixed as a function of z where its slope is known.

    The gradients have the same mean as those of `log_weights`, and no noise where q is the true posterior.
    """
    if not family.sloped:
        return log_weights(target, family.q, noise, samples)
    z, log_q, slope = family.q.sample_with_slope(noise, samples)
    held = log_q.detach() + (slope * (z - z.detach())).flatten(2).sum(-1)
    return target(z) - held


class Ascent(NamedTuple):
    """How an ascent went: its steps, whether it ended by its rule,
    and the nats per datum that its last window gained.
    """

    steps: int
    converged: bool
    gain: float


FIRST = 40
"""The steps of the first window of an ascent."""
LEAST = 3
"""The fewest windows of an ascent: what a short one does not gain a longer one may."""
HELD = 500
"""The draws for each datum by which an ascent is judged."""


def windows(most: int) -> list[int]:
    """The lengths of the windows of an ascent of that many steps, each twice that before.

    The last has what is left, too.

    >>> windows(1500)
    [40, 80, 160, 320, 900]
    """
    lengths = [min(FIRST, most)]
    while sum(lengths) + 2 * lengths[-1] <= most:
        lengths.append(2 * lengths[-1])
    lengths[-1] += most - sum(lengths)
    return lengths


@torch.enable_grad()
def optimise(
    target: Target,
    family: Family,
    noise: Noise,
    held: Callable[[], Noise],
    *,
    samples: int,
    most: int,
    rate: float,
    tolerance: float,
) -> Ascent:
    """Climb each datum's own ELBO in windows of Adam's steps, whose rate falls to zero as a cosine in each.

    A window is twice as long as the last. The ascent ends when one has gained no more than ``tolerance``
    nats, on average over the data and on the draws of ``held``, which no step sees; or after ``most`` steps.
    """
    # every judgement is by the same draws: a difference of two has their common noise taken out
    began, judged = family.parameters, [_judged(target, family, held(), samples)]
    family.parameters = [start.clone().requires_grad_() for start in began]
    adam, lengths = eager(torch.optim.Adam)(family.parameters), windows(most)
    for window in lengths:
        for step in range(window):
            adam.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / window))
            _step(target, family, noise, samples, adam)
        judged.append(_judged(target, family, held(), samples))
        gain = _rise(judged[-2], judged[-1])
        if converged := len(judged) > LEAST and gain <= tolerance:
            break
    _put_back(family, began, judged[0], judged[-1])
    return Ascent(sum(lengths[: len(judged) - 1]), converged, max(gain, 0.0))


def _step(target: Target, family: Family, noise: Noise, samples: int, adam: torch.optim.Optimizer) -> None:
    adam.zero_grad()
    loss = -path_log_weights(target, family, noise, samples).mean(0)
    # a datum whose bound is not finite must not spoil the others
    torch.where(loss.isfinite(), loss, 0.0).sum().backward(inputs=family.parameters)
    adam.step()


@torch.no_grad()
def _judged(target: Target, family: Family, noise: Noise, samples: int) -> Tensor:
    """Log weights of the held draws, ``(HELD, B)``, as many at once as a step takes."""
    sizes = [len(part) for part in torch.arange(HELD).split(samples)]
    return torch.cat([log_weights(target, family.q, noise, size) for size in sizes])


def _rise(before: Tensor, after: Tensor) -> float:
    """What the data for which it is finite gained on average."""
    return (after - before).mean(0).nan_to_num(0, 0, 0).mean().item()


def _put_back(family: Family, began: list[Tensor], before: Tensor, after: Tensor) -> None:
    """Put a datum that has ended clearly worse back where it began,
    and all of them if they have not gained together.

    To choose for each datum by the sign of what it gained would, near the best, be to choose by chance.
    """
    rise = after - before
    kept = (rise.mean(0) > -2 * rise.std(0) / len(rise) ** 0.5) & (_rise(before, after) > 0)
    family.parameters = [
        torch.where(kept.reshape(-1, *[1] * (a.dim() - 1)), b.detach(), a)
        for a, b in zip(began, family.parameters, strict=True)
    ]


def freed(posterior: Posterior, first: Distribution, x: Tensor, *, constant: bool) -> Family | None:
    """The family that the posterior itself is of, from a first member; normals move in units of it."""
    if isinstance(first, DiagonalNormal):
        return Diagonal(first)
    if isinstance(first, MultivariateNormal):
        return Full(first)
    if isinstance(posterior, Amortized):
        parameters = posterior.network(x)
        return Free(posterior, torch.zeros_like(parameters) if constant else parameters)
    return None


def moments(q: Distribution, noise: Noise, samples: int = 1000) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each coordinate, ``(B, *z)``: q's own, or those of draws."""
    if isinstance(q, DiagonalNormal):
        return q.loc, q.log_scale.exp()
    z = q.sample(noise, samples)
    return z.mean(0), z.std(0)


def matching_normal(q: Distribution, noise: Noise, samples: int = 1000) -> MultivariateNormal:
    """The normal with a full covariance that q is, or that has the mean and the covariance of draws
    from q, over vectors.
    """
    if isinstance(q, MultivariateNormal):
        return q
    if isinstance(q, DiagonalNormal):
        return MultivariateNormal(q.loc, torch.diag_embed(q.log_scale.exp()))
    z = q.sample(noise, samples)
    apart = z - z.mean(0)
    return MultivariateNormal(z.mean(0), cholesky(torch.einsum("kbi,kbj->bij", apart, apart) / (samples - 1)))
