"""Posteriors whose parameters belong to one datum each, and their optimisation, vectorised over data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lvmbench import (
    Amortized,
    DiagonalNormal,
    Distribution,
    LatentVariableModel,
    MultivariateNormal,
    Noise,
    Posterior,
    Refusal,
)


class Family(ABC):
    """Free parameters of each datum, ``(B, ...)``, and the distribution that they give.

    All parameters zero give the normal that it begins from: they are in units of it.
    """

    parameters: list[Tensor]

    @property
    @abstractmethod
    def q(self) -> Distribution:
        """The distribution, of batch shape ``(B,)``, that the parameters give now."""


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
        return MultivariateNormal(loc, self.factor @ (lower.tril(-1) + torch.diag_embed(log_ratio.exp())))


@final
class Planar(Distribution):
    r"""A normal with independent coordinates, sent through planar maps :math:`v + u \tanh(w^\top v + b)`.

    ``u`` and ``w`` are ``(B, M, D)`` and ``b`` is ``(B, M)`` for M maps; coordinates are those of the normal.
    """

    traits = DiagonalNormal.traits - {"density", "mean", "units"}

    def __init__(self, base: DiagonalNormal, first: DiagonalNormal, u: Tensor, w: Tensor, b: Tensor) -> None:
        self.base, self.first, self.u, self.w, self.b = base, first, u, w, b

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("planar maps have no inverse in closed form")

    def sample_and_log_prob(self, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        z, log_q = self.base.sample_and_log_prob(noise, samples)
        scale = self.first.log_scale.exp()
        v = ((z - self.first.loc) / scale).flatten(2)
        for u, w, b in zip(self.u.unbind(1), self.w.unbind(1), self.b.unbind(1), strict=True):
            u = _invertible(u, w)
            bend = torch.tanh((v * w).sum(-1) + b)  # (K, B)
            v = v + u * bend.unsqueeze(-1)
            log_q = log_q - torch.log1p((1 - bend.square()) * (u * w).sum(-1))
        return self.first.loc + scale * v.reshape(z.shape), log_q


def _invertible(u: Tensor, w: Tensor) -> Tensor:
    """u with its part along w changed so that w'u > -1; zero stays zero."""
    along = (u * w).sum(-1, keepdim=True)
    allowed = softplus(along + math.log(math.e - 1)) - 1
    return u + (allowed - along) * w / w.square().sum(-1, keepdim=True)


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
class Flow(Family):
    """Planar flows on normals with independent coordinates: the normal itself while every u is zero."""

    def __init__(self, first: DiagonalNormal, maps: int, noise: Noise) -> None:
        self.base = Diagonal(first)
        size, dimensions = len(first.loc), first.loc[0].numel()
        w = noise.normal((size, maps, dimensions)).to(first.loc)
        self.parameters = [*self.base.parameters, torch.zeros_like(w), w, torch.zeros_like(w[..., 0])]

    @property
    def q(self) -> Planar:
        self.base.parameters = self.parameters[:2]
        return Planar(self.base.q, self.base.first, *self.parameters[2:])


def log_weights(model: LatentVariableModel, x: Tensor, q: Distribution, noise: Noise, samples: int) -> Tensor:
    """log p(x, z) - log q(z) of draws from q, ``(K, B)``."""
    z, log_q = q.sample_and_log_prob(noise, samples)
    return model.log_joint(x, z) - log_q


@torch.enable_grad()
def optimise(
    model: LatentVariableModel,
    x: Tensor,
    family: Family,
    noise: Noise,
    *,
    samples: int,
    steps: int,
    rate: float,
) -> None:
    """Climb each datum's own ELBO: Adam, whose rate falls to zero as a cosine.

    A datum that ends below where it began, on 10 times as many draws as a step takes, is put back there.
    """
    began = family.parameters
    family.parameters = [start.clone().requires_grad_() for start in began]
    adam = torch.optim.Adam(family.parameters, lr=rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        loss = -log_weights(model, x, family.q, noise, samples).mean(0)
        # a datum whose bound is not finite must not spoil the others
        torch.where(loss.isfinite(), loss, 0.0).sum().backward(inputs=family.parameters)
        adam.step()
        cosine.step()
    _keep_better(model, x, family, began, noise, 10 * samples)


@torch.no_grad()
def _keep_better(
    model: LatentVariableModel, x: Tensor, family: Family, began: list[Tensor], noise: Noise, samples: int
) -> None:
    bounds, ended = [], [parameter.detach() for parameter in family.parameters]
    for family.parameters in (began, ended):
        bounds.append(log_weights(model, x, family.q, noise, samples).mean(0))
    better = bounds[1] > bounds[0]
    family.parameters = [
        torch.where(better.reshape(-1, *[1] * (a.dim() - 1)), b, a) for a, b in zip(began, ended, strict=True)
    ]


def same_family(posterior: Posterior, first: Distribution, x: Tensor, *, constant: bool) -> Family:
    """The family that the posterior itself is of, from a first member; normals move in units of it."""
    if isinstance(first, DiagonalNormal):
        return Diagonal(first)
    if isinstance(first, MultivariateNormal):
        return Full(first)
    if isinstance(posterior, Amortized):
        parameters = posterior.network(x)
        return Free(posterior, torch.zeros_like(parameters) if constant else parameters)
    raise Refusal(
        "gap_split can free the parameters of normal posteriors and of those built on Amortized, and "
        f"{type(posterior).__name__} is neither; take family=full or family=flow"
    )


def matching_normal(q: Distribution, noise: Noise, event_dims: int, samples: int = 1000) -> DiagonalNormal:
    """The normal with independent coordinates that begins a richer family: q itself, or one of q's mean and spread."""
    if isinstance(q, DiagonalNormal):
        return q
    z = q.sample(noise, samples)
    return DiagonalNormal(z.mean(0), z.std(0).log(), event_dims)
