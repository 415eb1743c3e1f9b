"""What is known of pairs: closed-form KL divergences and exact posteriors, kept outside both classes of a pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import torch
from torch import Tensor

from lvmbench.distributions import (
    Bernoulli,
    Categorical,
    DiagonalNormal,
    Distribution,
    Finite,
    LowRankNormal,
    Mixture,
    MultivariateNormal,
)
from lvmbench.distributions.base import family_name, sum_event
from lvmbench.distributions.relaxed import (
    Relaxed,
    RelaxedBernoulli,
    RelaxedCategorical,
    StraightThroughBernoulli,
    StraightThroughCategorical,
)
from lvmbench.errors import LvmbenchError
from lvmbench.noise import Noise

if TYPE_CHECKING:
    from lvmbench.decoder import Decoder

F = TypeVar("F", bound=Callable[..., Any])
_KL: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}
_KL_DRAWS: dict[tuple[type, type], Callable[[Any, Any, Noise, int], Tensor]] = {}
_POSTERIOR: dict[tuple[type, type], Callable[[Any, Any, Tensor], Distribution]] = {}


def register_kl(q: type[Distribution], p: type[Distribution], *, estimate: bool = False) -> Callable[[F], F]:
    """Register a formula ``(q, p) -> KL(q || p)`` of shape ``*batch``, in nats, for a pair of distribution classes.

    An ``estimate`` is ``(q, p, noise, S)`` to ``S`` independent draws whose mean is the divergence, ``(S, *batch)``, where that is
    better than the log ratio of samples; instruments state its error. A mixture is named with what it is of:
    ``Mixture[DiagonalNormal]``.
    """
    return _registration(_KL_DRAWS if estimate else _KL, (q, p))


def register_posterior(p: type[Distribution], decoder: type[Decoder]) -> Callable[[F], F]:
    """Register ``(p(z), decoder, x) -> p(z|x)`` for a class of prior distribution and a decoder class.

    The return annotation of the function names the distribution class that it returns. A mixture is named with what it is of,
    there as here: ``Mixture[DiagonalNormal]``.
    """
    return _registration(_POSTERIOR, (p, decoder))


def _registration(register: dict[tuple[type, type], Any], pair: tuple[type, type]) -> Callable[[F], F]:
    for family in pair:
        if getattr(family, "__parameters__", ()):
            name = family_name(family)
            raise LvmbenchError(
                f"a formula for a {name} is of one kind of {name}; name what is inside, as in {name}[DiagonalNormal]"
            )

    def add(formula: F) -> F:
        other = register.setdefault(pair, formula)
        if (other.__module__, other.__qualname__) != (formula.__module__, formula.__qualname__):
            names = " and ".join(map(family_name, pair))
            raise LvmbenchError(
                f"the pair of {names} has a formula already, of {other.__module__}; it has one only"
            )
        return formula

    return add


def has_kl(q: type[Distribution] | None, p: type[Distribution], *, estimate: bool = False) -> bool:
    """Whether KL(q || p) has a registered formula, or a registered estimate, for these classes."""
    return (q, p) in (_KL_DRAWS if estimate else _KL)


def analytic_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) in closed form, or ``None`` where no formula is registered.

    >>> q = DiagonalNormal(torch.ones(3, 2), torch.zeros(3, 2))
    >>> analytic_kl(q, DiagonalNormal(torch.zeros(2), torch.zeros(2)))
    tensor([1., 1., 1.])
    """
    formula = _KL.get((q.family, p.family))
    return None if formula is None else formula(q, p)


def estimated_kl(q: Distribution, p: Distribution, noise: Noise, samples: int) -> Tensor | None:
    """Independent draws ``(S, *batch)`` whose mean is KL(q || p), or ``None`` where no estimate is registered.

    >>> from lvmbench import Mixture, Stream
    >>> q = DiagonalNormal(torch.ones(3, 2), torch.zeros(3, 2))
    >>> p = Mixture(torch.zeros(1), DiagonalNormal(torch.zeros(1, 2), torch.zeros(1, 2)))
    >>> estimated_kl(q, p, Stream.seeded(0), 2)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    formula = _KL_DRAWS.get((q.family, p.family))
    return None if formula is None else formula(q, p, noise, samples)


def posterior_type(p: type[Distribution], decoder: type[Decoder]) -> type[Distribution] | None:
    """The class of the exact posterior of a pair, or ``None`` where none is registered."""
    formula = _POSTERIOR.get((p, decoder))
    return None if formula is None else get_type_hints(formula)["return"]


def exact_posterior(p: Distribution, decoder: Decoder, x: Tensor) -> Distribution:
    """The registered p(z|x) for ``x`` of shape ``(B, *x)``; `KeyError` where none is registered."""
    return _POSTERIOR[p.family, type(decoder)](p, decoder, x)


@register_kl(DiagonalNormal, DiagonalNormal)
def _kl_diagonal_diagonal(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    log_ratio = q.log_scale - p.log_scale
    standard = (q.loc - p.loc) * (-p.log_scale).exp()
    return sum_event(0.5 * ((2 * log_ratio).exp() + standard**2 - 1) - log_ratio, q.event_dims)


@register_kl(MultivariateNormal, DiagonalNormal)
def _kl_full_diagonal(q: MultivariateNormal, p: DiagonalNormal) -> Tensor:
    inverse = (-p.log_scale).exp()
    scaled = inverse.unsqueeze(-1) * q.scale_tril  # (..., D, D)
    standard = (q.loc - p.loc) * inverse
    log_det = scaled.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * ((scaled**2).sum((-2, -1)) + (standard**2).sum(-1) - q.loc.shape[-1]) - log_det


@register_kl(LowRankNormal, DiagonalNormal)
def _kl_low_rank_diagonal(q: LowRankNormal, p: DiagonalNormal) -> Tensor:
    inverse = (-p.log_scale).exp()
    variance = (2 * q.log_scale).exp() + q.factor.square().sum(-1)
    standard = (q.loc - p.loc) * inverse
    log_ratio = 2 * p.log_scale.expand_as(q.loc).sum(-1) - q.log_det
    return 0.5 * ((variance * inverse.square() + standard.square() - 1).sum(-1) + log_ratio)


@register_kl(DiagonalNormal, Mixture[DiagonalNormal], estimate=True)
def _kl_normal_mixture(q: DiagonalNormal, p: Mixture[DiagonalNormal], noise: Noise, samples: int) -> Tensor:
    r"""The variational upper bound less what it is off by: only that is drawn, and with one component it is 0.

    It is drawn at pairs of points on opposite sides of the mean. With :math:`\phi_c \propto \pi_c e^{-\mathrm{KL}(q \| p_c)}` it is
    :math:`-\log \sum_c \pi_c e^{-\mathrm{KL}(q \| p_c)} - E_q \mathrm{KL}(\phi \| p(c|z))`.

    References:
        Approximating the Kullback Leibler Divergence Between Gaussian Mixture Models (Hershey, Olsen, 2007),
        https://doi.org/10.1109/ICASSP.2007.366913
    """
    apart = -1 - q.event_dims
    each = DiagonalNormal(q.loc.unsqueeze(apart), q.log_scale.unsqueeze(apart), q.event_dims)
    shares = p.log_weights - _kl_diagonal_diagonal(each, p.components)  # (*batch, C)
    phi = shares.log_softmax(-1)
    step = q.log_scale.exp() * noise.normal((samples, *q.loc.shape))
    found = p.log_assign(torch.stack([q.loc + step, q.loc - step]))  # (2, S, *batch, C)
    return -shares.logsumexp(-1) - (phi.exp() * (phi - found)).sum(-1).mean(0)


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli(q: Bernoulli, p: Bernoulli) -> Tensor:
    log_odds = q.mean * (q.logits - p.logits)
    normalisers = torch.nn.functional.softplus(p.logits) - torch.nn.functional.softplus(q.logits)
    return sum_event(log_odds + normalisers, q.event_dims)


@register_kl(Categorical, Categorical)
def _kl_categorical(q: Categorical, p: Categorical) -> Tensor:
    return sum_event(q.logits.exp() * (q.logits - p.logits), q.event_dims)


@register_kl(Finite, Bernoulli)
@register_kl(Finite, Categorical)
def _kl_finite(q: Finite, p: Distribution) -> Tensor:
    return (q.log_weights.exp() * (q.log_weights - p.log_prob(q.values))).sum(-1)


@register_kl(RelaxedBernoulli, Bernoulli)
@register_kl(StraightThroughBernoulli, Bernoulli)
@register_kl(RelaxedCategorical, Categorical)
@register_kl(StraightThroughCategorical, Categorical)
def _kl_relaxed(q: Relaxed, p: Distribution) -> Tensor:
    return _KL[q.law.family, p.family](q.law, p)
