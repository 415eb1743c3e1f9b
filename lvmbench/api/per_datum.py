"""What a trained model says of each datum, the same whatever data stand beside it.

Where it has to draw, the numbers of a datum come from a seed and from the datum itself. So what is said of it
depends neither on the order of the data nor on how many there are, and the errors of different data are
independent: they average out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lvmbench.distributions import traits_of
from lvmbench.errors import Refusal
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Buffer, Demand, Noise, Recorder, Stream
from lvmbench.terms import Terms

NUMBERS = 2**22
"""About how many numbers a layer of a network may have to hold at a time."""
WIDTH = 128
"""About how wide networks are, at least."""
SOME = 16
"""About how many components mixtures have."""


@torch.no_grad()
def log_density(model: LatentVariableModel, x: Tensor, seed: int, samples: int) -> Tensor:
    r"""log p(x) of what was observed of x ``(N, *x)``, ``(N,)``: exact where that is known, and else by
    importance sampling with ``K`` samples, whose mean is at most that.

    .. math:: \log \hat p(x) = \log \frac1K \sum_k \frac{p(x, z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x)

    Raises `Refusal` where only a bound of q(z|x) is known, as no weights follow from that.
    """
    if "exact_posterior" in model.provides:
        return torch.cat([model.exact_log_prob(rows) for rows in x.split(_at_once(x, _terms(model)))])
    q = model.posterior_distribution
    if q is not None and "bound" in traits_of(q.law_type or q):
        raise Refusal(
            f"{type(model.posterior).__name__} knows only a bound of q(z|x), from which no density of x "
            "follows; take another posterior"
        )

    def estimate(x: Tensor, noise: Noise) -> Tensor:
        return Terms(model, x, noise, samples).log_w().logsumexp(0) - math.log(samples)

    return _each(model, estimate, x, seed, samples)


@torch.no_grad()
def latent_mean(model: LatentVariableModel, x: Tensor, seed: int, samples: int) -> Tensor:
    """The mean of q(z|x), ``(N, *z)``, or where that is not known that of ``K`` draws."""
    q = model.posterior_distribution
    if q is not None and "mean" in traits_of(q.law_type or q):
        return torch.cat([model.q(rows).mean for rows in x.split(_at_once(x, _terms(model)))])

    def average(x: Tensor, noise: Noise) -> Tensor:
        return Terms(model, x, noise, samples).z.mean(0)

    return _each(model, average, x, seed, samples)


def _each(
    model: LatentVariableModel, of: Callable[[Tensor, Noise], Tensor], x: Tensor, seed: int, samples: int
) -> Tensor:
    """What a function of data ``(B, *x)`` and noise gives for each datum alone, with noise of its own."""
    recorder = Recorder(Stream.seeded(0, "recording", device=x.device, dtype=x.dtype))
    of(x[:1], recorder)

    def one(datum: Tensor, normals: Tensor, uniforms: Tensor) -> Tensor:
        return of(datum.unsqueeze(0), Buffer(normals, uniforms)).squeeze(0)

    vectorizable = all(getattr(model, part).vectorizable for part in model.PARTS)
    at_once = torch.vmap(one) if vectorizable else partial(_looped, one)
    batches = x.split(_at_once(x, samples))
    return torch.cat([at_once(rows, *_numbers(rows, seed, recorder.demand)) for rows in batches])


def _looped(work: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """What some work gives for each row of several tensors, one after another."""
    return torch.stack([work(*rows) for rows in zip(*batches, strict=True)])


def _numbers(x: Tensor, seed: int, demand: Demand) -> tuple[Tensor, Tensor]:
    """The normal and the uniform numbers of each of x, ``(B, ...)``."""
    # in single precision, as data that differ by their rounding alone should not draw other numbers
    keys = [datum.tobytes().hex() for datum in x.float().cpu().numpy()]
    streams = [Stream.seeded(seed, "datum", key, dtype=x.dtype) for key in keys]
    normals = torch.stack([stream.normal((demand.normals,)) for stream in streams])
    return normals.to(x.device), torch.stack([s.uniform((demand.uniforms,)) for s in streams]).to(x.device)


def _terms(model: LatentVariableModel) -> int:
    """About how many values of z each datum is held against where none is drawn: all, or some components."""
    space = model.prior.space
    return (space.size if space.enumerable else None) or SOME


def _at_once(x: Tensor, samples: int) -> int:
    """How many data are looked at together."""
    return max(1, NUMBERS // (samples * max(WIDTH, x[0].numel())))
