"""What is known of pairs: closed-form KL divergences and exact posteriors,
kept outside both classes of a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import torch
from torch import Tensor

from lvmbench.distributions import (
    Bernoulli,
    BinaryChain,
    Categorical,
    Chain,
    Denoised,
    DiagonalNormal,
    Distribution,
    Finite,
    LinearChain,
    LinearDynamics,
    LinearSteps,
    LogitBeta,
    LogitKumaraswamy,
    LowRankNormal,
    Mixture,
    MultivariateNormal,
    Noised,
    Recurrent,
    Steps,
)
from lvmbench.distributions.base import family_name, is_open, sum_event
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
_DRAW_KL: dict[tuple[type, type], Callable[[Any, Any, Tensor, Noise], Tensor]] = {}
_POSTERIOR: dict[tuple[type, type], Callable[[Any, Any, Tensor], Distribution]] = {}


def register_kl(q: type[Distribution], p: type[Distribution]) -> Callable[[F], F]:
    """Register a formula ``(q, p) -> KL(q || p)`` of shape ``*batch``, in nats,
    for a pair of distribution classes.

    A mixture is named with what it is of: ``Mixture[DiagonalNormal]``.
    """
    return _registration(_KL, (q, p))


def register_draw_kl(q: type[Distribution], p: type[Distribution]) -> Callable[[F], F]:
    """Register ``(q, p, z, noise) -> (K, B)`` for a pair of distribution classes: for each draw z
    ``(K, B, *z)`` of q, a figure of expectation KL(q || p), for a divergence whose parts are known in closed
    form given the draw, or at a random time, or that has a better estimate than the log ratio.
    """
    return _registration(_DRAW_KL, (q, p))


def register_posterior(p: type[Distribution], decoder: type[Decoder]) -> Callable[[F], F]:
    """Register ``(p(z), decoder, x) -> p(z|x)`` for a class of prior distribution and a decoder class.

    The return annotation of the function names the distribution class that it returns. A mixture is named
    with what it is of, there as here: ``Mixture[DiagonalNormal]``.
    """
    return _registration(_POSTERIOR, (p, decoder))


def _registration(register: dict[tuple[type, type], Any], pair: tuple[type, type]) -> Callable[[F], F]:
    for family in pair:
        if is_open(family):
            name = family_name(family)
            raise LvmbenchError(
                f"a formula for a {name} is of one kind of {name}; name what is inside, as in "
                f"{name}[DiagonalNormal]"
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


def has_kl(q: type[Distribution] | None, p: type[Distribution]) -> bool:
    """Whether KL(q || p), or its term of a draw, has a registered formula for these classes."""
    return (q, p) in _KL or (q, p) in _DRAW_KL


def analytic_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) in closed form, or ``None`` where no formula is registered.

    >>> q = DiagonalNormal(torch.ones(3, 2), torch.zeros(3, 2))
    >>> analytic_kl(q, DiagonalNormal(torch.zeros(2), torch.zeros(2)))
    tensor([1., 1., 1.])
    """
    formula = _KL.get((q.family, p.family))
    return None if formula is None else formula(q, p)


def draw_kl(q: Distribution, p: Distribution, z: Tensor, noise: Noise) -> Tensor | None:
    """The term of KL(q || p) of each draw z ``(K, B, *z)`` of q, ``(K, B)``,
    or ``None`` where no formula is registered.
    """
    formula = _DRAW_KL.get((q.family, p.family))
    return None if formula is None else formula(q, p, z, noise)


def posterior_type(p: type[Distribution], decoder: type[Decoder]) -> type[Distribution] | None:
    """The class of the exact posterior of a pair, or ``None`` where none is registered."""
    formula = _POSTERIOR.get((p, decoder))
    return None if formula is None else _returned(formula)


@cache
def _returned(formula: Callable[..., Distribution]) -> type[Distribution]:
    """The class that a formula says it returns."""
    found: type[Distribution] = get_type_hints(formula)["return"]
    return found


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
    # in units of p the divergence is that from N(0, I): (tr L L' + m' m - D) / 2 - log |L|
    inverse = (-p.log_scale).exp()
    scaled = inverse.unsqueeze(-1) * q.scale_tril  # (..., D, D)
    standard = (q.loc - p.loc) * inverse
    log_det = scaled.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * ((scaled**2).sum((-2, -1)) + (standard**2).sum(-1) - q.loc.shape[-1]) - log_det


@register_kl(LowRankNormal, DiagonalNormal)
def _kl_low_rank_diagonal(q: LowRankNormal, p: DiagonalNormal) -> Tensor:
    inverse = (-p.log_scale).exp()
    # p has independent coordinates: of q's covariance the trace takes the diagonal alone
    variance = (2 * q.log_scale).exp() + q.factor.square().sum(-1)
    standard = (q.loc - p.loc) * inverse
    log_ratio = 2 * p.log_scale.expand_as(q.loc).sum(-1) - q.log_det
    return 0.5 * ((variance * inverse.square() + standard.square() - 1).sum(-1) + log_ratio)


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli(q: Bernoulli, p: Bernoulli) -> Tensor:
    # log q(z) - log p(z) is linear in z: its mean is its value at the mean of q
    log_odds = q.mean * (q.logits - p.logits)
    normalisers = torch.nn.functional.softplus(p.logits) - torch.nn.functional.softplus(q.logits)
    return sum_event(log_odds + normalisers, q.event_dims)


@register_kl(LogitKumaraswamy, LogitBeta)
def _kl_kumaraswamy_beta(q: LogitKumaraswamy, p: LogitBeta) -> Tensor:
    r"""With the means of logarithms by quadrature.

    .. math:: \log a b - \frac{b - 1}b + \log B(\alpha, \beta) + (a - \alpha) E \log v
        - (\beta - 1) E \log (1 - v)
    """
    log_v, excess = q.log_moments
    # the logit changes no divergence; with E log (1 - v) = -1 / b - log a + excess large terms would cancel
    own = q.log_b + p.beta * (q.log_a + (-q.log_b).exp()) - 1 + p.log_normaliser
    return sum_event(own + (q.log_a.exp() - p.alpha) * log_v - (p.beta - 1) * excess, q.event_dims)


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
    # of the law that the samples stand for: that of the relaxed samples' own density has no closed form
    return _KL[q.law.family, p.family](q.law, p)


@register_draw_kl(DiagonalNormal, Mixture[DiagonalNormal])
def _kl_normal_mixture(q: DiagonalNormal, p: Mixture[DiagonalNormal], z: Tensor, noise: Noise) -> Tensor:
    r"""The variational upper bound less what it is off by, at a draw and at its mirror image:
    with one component that is 0.

    With :math:`\phi_c \propto \pi_c e^{-\mathrm{KL}(q \| p_c)}` the divergence is
    :math:`-\log \sum_c \pi_c e^{-\mathrm{KL}(q \| p_c)} - E_q \mathrm{KL}(\phi \| p(c|z))`.

    References:
        Approximating the Kullback Leibler Divergence Between Gaussian Mixture Models (Hershey, Olsen, 2007),
        https://doi.org/10.1109/ICASSP.2007.366913
    """
    apart = -1 - q.event_dims
    each = DiagonalNormal(q.loc.unsqueeze(apart), q.log_scale.unsqueeze(apart), q.event_dims)
    shares = p.log_weights - _kl_diagonal_diagonal(each, p.components)  # (*batch, C)
    phi = shares.log_softmax(-1)
    off = [(phi.exp() * (phi - p.log_assign(value))).sum(-1) for value in (z, 2 * q.loc - z)]
    return -shares.logsumexp(-1) - 0.5 * (off[0] + off[1])


@register_draw_kl(Recurrent, DiagonalNormal)
def _kl_by_step(q: Recurrent, p: DiagonalNormal, z: Tensor, noise: Noise) -> Tensor:
    """Step by step in closed form, given the steps that q drew before."""
    locs, log_scales = (part.split(q.sizes, -1) for part in (p.loc, p.log_scale))
    total = z.new_zeros(z.shape[:-1])
    for step, loc, log_scale in zip(q.given(z), locs, log_scales, strict=True):
        total = total + _kl_diagonal_diagonal(step, DiagonalNormal(loc, log_scale))
    return total


@register_draw_kl(Chain, Chain)
@register_draw_kl(BinaryChain, BinaryChain)
@register_draw_kl(Chain, LinearChain)
@register_draw_kl(Chain, Denoised)
def _kl_by_layer(q: Chain, p: Chain, z: Tensor, noise: Noise) -> Tensor:
    """Layer by layer: in closed form where p(z_l | ...) is given by what q drew before z_l,
    from the draw elsewhere.
    """
    total = z.new_zeros(z.shape[:-1])
    for one, other, layer in zip(q.given(z), p.given(z), z.split(q.sizes, -1), strict=True):
        before = q.top_down == p.top_down or other is p.first
        exact = analytic_kl(one, other) if before else None
        total = total + (one.log_prob(layer) - other.log_prob(layer) if exact is None else exact)
    return total


@register_draw_kl(Steps, Steps)
@register_draw_kl(Steps, LinearDynamics)
@register_draw_kl(LinearSteps, Steps)
@register_draw_kl(LinearSteps, LinearDynamics)
def _kl_of_steps(q: Steps, p: Steps, z: Tensor, noise: Noise) -> Tensor:
    """Step by step up to the end of each sequence, given the steps that q drew before:
    in closed form where that is known of their laws, from the draw elsewhere.
    """
    one, other = q.given(z), p.given(z)
    exact = analytic_kl(one, other)
    return q.total(one.log_prob(z) - other.log_prob(z) if exact is None else exact)


@register_draw_kl(Noised, Denoised)
def _kl_noised_denoised(q: Noised, p: Denoised, z: Tensor, noise: Noise) -> Tensor:
    """Of the last layer, and of each other given the one above:
    what the guess is off by, times the fall of the signal-to-noise ratio.
    """
    last = DiagonalNormal(q.marginals.loc[..., -1, :], q.marginals.log_scale[..., -1, :])
    top = _kl_diagonal_diagonal(last, p.first).expand(z.shape[:-1])
    layers = z.unflatten(-1, (len(q.gamma), -1))[..., 1:, :]
    below, above, times = q.gamma[:-1], q.gamma[1:], len(q.gamma) - 1
    if not (p.one_time and times):
        return top + _lost(q.x.unsqueeze(-2), p, layers, below, above).sum(-1)
    chosen = (times * noise.uniform(z.shape[:-1])).long().clamp(max=times - 1).unsqueeze(-1)
    layer = torch.take_along_dim(layers, chosen.unsqueeze(-1), -2).squeeze(-2)
    ends = [
        torch.take_along_dim(end.expand(*chosen.shape[:-1], -1), chosen, -1).squeeze(-1)
        for end in (below, above)
    ]
    return top + times * _lost(q.x, p, layer, *ends)


def _lost(x: Tensor, p: Denoised, z: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """KL(q(z' | z, x) || p(z' | z)) of the layer z' of gamma ``below``, ``(...)``, given z of ``above``."""
    fall = (-below).exp() * -torch.expm1(below - above)
    return 0.5 * fall * (x - p.denoise(z, above)).square().sum(-1)
