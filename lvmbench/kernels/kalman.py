r"""Linear-Gaussian sequences: their density by the Kalman filter, and their posterior.

.. math:: z_1 \sim N(\mu, L L^\top), \qquad z_t \sim N(A z_{t-1} + a, Q Q^\top), \qquad
    x_t \sim N(C z_t + c, R), \quad R = \operatorname{diag} \sigma^2
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench.distributions import LinearDynamics, LinearSteps, MultivariateNormal, Step, cholesky
from lvmbench.observation import observed


class LinearSystem(NamedTuple):
    r"""What a linear-Gaussian sequence of Z latents and frames of D values is made of.

    Factors of covariances are lower triangular.

    Arguments:
        loc: The mean :math:`\mu` of the first step, ``(Z)``.
        scale: The factor :math:`L` of its covariance, ``(Z, Z)``.
        transition: The matrix :math:`A`, ``(Z, Z)``.
        drift: The shift :math:`a`, ``(Z)``.
        innovation: The factor :math:`Q` of the covariance of a move, ``(Z, Z)``.
        emission: The matrix :math:`C`, ``(D, Z)``.
        bias: The shift :math:`c`, ``(D)``.
        log_noise: The log standard deviations :math:`\log \sigma`, ``(D)``.

    Example:
        >>> one, nil = torch.eye(1), torch.zeros(1)
        >>> walk = LinearSystem(nil, one, one, nil, one, one, nil, nil)
        >>> x = torch.zeros(7, 5, 1)
        >>> filtered(walk, x).log_prob.shape, smoothed(walk, x).gain.shape
        (torch.Size([7, 5]), torch.Size([7, 5, 1, 1]))
    """

    loc: Tensor
    scale: Tensor
    transition: Tensor
    drift: Tensor
    innovation: Tensor
    emission: Tensor
    bias: Tensor
    log_noise: Tensor


class Filtered(NamedTuple):
    """What x up to a step tells: of z_t a mean, ``(..., T, Z)``, and a covariance, ``(..., T, Z, Z)``.

    ``log_prob``, ``(..., T)``, is log p(x_t | x_1 ... x_(t-1)) of what was observed, which sums to log p(x).
    """

    loc: Tensor
    covariance: Tensor
    log_prob: Tensor


class Smoothed(NamedTuple):
    r"""What all of x tells of each step, given the step before.

    .. math:: p(z_t | z_{t-1}, x_{t:T}) = N(G_t z_{t-1} + g_t, S_t S_t^\top)

    ``gain`` :math:`G`, ``(..., T, Z, Z)``, is 0 at the first step, ``shift`` :math:`g` is ``(..., T, Z)``,
    and ``scale`` :math:`S`, ``(..., T, Z, Z)``, is lower triangular.
    """

    gain: Tensor
    shift: Tensor
    scale: Tensor


def filtered(system: LinearSystem, x: Tensor) -> Filtered:
    r"""The Kalman filter of sequences ``(..., T, D)``; NaN was not observed, as after the end of one.

    Where :math:`N(m, S S^\top)` predicts :math:`z_t` and :math:`v = x_t - C m - c`

    .. math:: \log p(x_t|x_{<t}) = -\tfrac12 (r^\top R^{-1} r + \|e\|^2 + \log |G| + \log |2 \pi R|)

        e = G^{-1} S^\top C^\top R^{-1} v, \qquad r = v - C S e, \qquad G = I + S^\top C^\top R^{-1} C S

    and :math:`p(z_t|x_{\le t}) = N(m + S e, S G^{-1} S^\top)`. Nothing is the difference of two squares, so
    that it holds where the noise is small. It is computed in double precision.

    References:
        A New Approach to Linear Filtering and Prediction Problems (Kalman, 1960),
        https://doi.org/10.1115/1.3662552
    """
    system = _double(system)
    told = _tell(system, x)
    loc, scale, steps = system.loc, system.scale, []
    for now in _each(told):
        loc, root, square = _correct(system, loc, scale, now)
        steps.append((loc, _square(root), square))
        loc = _apply(system.transition, loc) + system.drift
        scale = cholesky(_square(system.transition @ root) + _square(system.innovation))
    locs, covariances, squares = zip(*steps, strict=True)
    log_volume = ((told.weight > 0) * (2 * system.log_noise + math.log(2 * math.pi))).sum(-1)
    log_prob = -(torch.stack(squares, -1) + log_volume) / 2
    return Filtered(torch.stack(locs, -2).to(x), torch.stack(covariances, -3).to(x), log_prob.to(x))


def smoothed(system: LinearSystem, x: Tensor) -> Smoothed:
    r"""The posterior of sequences ``(..., T, D)``; NaN was not observed, as after the end of one.

    From the last step back, what x from a step on tells of it,
    :math:`\log p(x_{t:T}|z_t) = k - \tfrac12 z_t^\top \Lambda_t z_t + \lambda_t^\top z_t`:

    .. math:: S_t S_t^\top = (\Sigma^{-1} + \Lambda_t)^{-1}, \quad \Sigma = Q Q^\top, \qquad
        G_t = F_t A, \quad g_t = F_t a + S_t S_t^\top \lambda_t, \quad F_t = S_t S_t^\top \Sigma^{-1}

        \Lambda_{t-1} = A^\top \Pi_t A + C^\top R^{-1} C, \qquad
        \lambda_{t-1} = A^\top (F_t^\top \lambda_t - \Pi_t a) + C^\top R^{-1} (x_{t-1} - c)

    where :math:`\Pi_t = F_t^\top \Lambda_t F_t + (I - F_t)^\top \Sigma^{-1} (I - F_t)`, which is no
    difference of precisions. It is computed in double precision.

    References:
        A Solution of the Smoothing Problem for Linear Dynamic Systems (Mayne, 1966),
        https://doi.org/10.1016/0005-1098(66)90019-7
    """
    system = _double(system)
    *earlier, last = _each(_tell(system, x))
    precision, target, steps = last.precision, last.target(system), []
    for before in reversed(earlier):
        now = _condition(system.innovation, precision, target)
        steps.append((now.keep @ system.transition, _apply(now.keep, system.drift) + now.shift, now.scale))
        back = system.transition.mT
        target = _apply(back, now.target - _apply(now.precision, system.drift)) + before.target(system)
        precision = back @ now.precision @ system.transition + before.precision
    first = _condition(system.scale, precision, target)
    steps.append((torch.zeros_like(first.keep), _apply(first.keep, system.loc) + first.shift, first.scale))
    gain, shift, scale = zip(*reversed(steps), strict=True)
    return Smoothed(torch.stack(gain, -3).to(x), torch.stack(shift, -2).to(x), torch.stack(scale, -3).to(x))


def linear_posterior(
    p: LinearDynamics, emission: Tensor, bias: Tensor, log_noise: Tensor, x: Tensor
) -> LinearSteps:
    """The posterior of linear dynamics that emit frames of D values linearly, as in `LinearSystem`,
    given ``x`` of shape ``(B, T, D)``.
    """
    first, transition, drift, log_scale = p.move
    scale, innovation = (torch.diag_embed(part.exp()) for part in (first.log_scale, log_scale))
    system = LinearSystem(first.loc, scale, transition, drift, innovation, emission, bias, log_noise)
    told = smoothed(system, x)

    def law(t: Step, h: Tensor) -> MultivariateNormal:
        # before the first step, whose gain is 0, there is nothing
        return MultivariateNormal(_apply(told.gain[:, t], h[..., :-1]) + told.shift[:, t], told.scale[:, t])

    return LinearSteps(p.memory, law)


class _Told(NamedTuple):
    """What x tells of steps: x - c, and 1 / R, both ``(..., D)`` with 0 where nothing was observed,
    and C' R^-1 C, ``(..., Z, Z)``.
    """

    centred: Tensor
    weight: Tensor
    precision: Tensor

    def target(self, system: LinearSystem) -> Tensor:
        """C' R^-1 (x - c), ``(..., Z)``."""
        return (self.weight * self.centred) @ system.emission


def _double(system: LinearSystem) -> LinearSystem:
    return LinearSystem(*(part.double() for part in system))


def _tell(system: LinearSystem, x: Tensor) -> _Told:
    values, mask = observed(x.double(), system.bias)
    weight = mask * (-2 * system.log_noise).exp()
    outer = (system.emission.unsqueeze(-1) * system.emission.unsqueeze(-2)).flatten(-2)  # (D, Z Z)
    latent = system.emission.shape[-1]
    return _Told(values - system.bias, weight, (weight @ outer).unflatten(-1, (latent, latent)))


def _each(told: _Told) -> Iterator[_Told]:
    """What is told of each step."""
    columns = told.centred.unbind(-2), told.weight.unbind(-2), told.precision.unbind(-3)
    return (_Told(*now) for now in zip(*columns, strict=True))


def _correct(system: LinearSystem, loc: Tensor, scale: Tensor, now: _Told) -> tuple[Tensor, Tensor, Tensor]:
    """From a prediction of z_t to its mean, ``(..., Z)``, and a factor of its covariance, ``(..., Z, Z)``,
    given x_t, and the squares and the log volume that x_t adds, ``(...)``.
    """
    v = now.centred - _apply(system.emission, loc)
    factor = cholesky(scale.mT @ now.precision @ scale + _eye(scale))
    seen = _apply(scale.mT, (now.weight * v) @ system.emission)
    e = torch.cholesky_solve(seen.unsqueeze(-1), factor).squeeze(-1)
    move = _apply(scale, e)
    r = v - _apply(system.emission, move)
    square = (now.weight * r.square()).sum(-1) + e.square().sum(-1)
    root = torch.linalg.solve_triangular(factor, scale.mT, upper=False).mT
    return loc + move, root, square + 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class _Conditional(NamedTuple):
    """Of z with the mean m, given x: it is N(keep m + shift, scale scale'), and the ``precision`` and
    ``target`` are what x tells of m.
    """

    keep: Tensor
    shift: Tensor
    scale: Tensor
    precision: Tensor
    target: Tensor


def _condition(root: Tensor, precision: Tensor, target: Tensor) -> _Conditional:
    """Of z ~ N(m, root root') and what x tells of z, the law of z given x and m, and what x tells of m."""
    eye = _eye(root)
    prior = _square(torch.linalg.solve_triangular(root, eye, upper=False).mT)
    # the factor U of U U' is upper triangular where rows and columns are in the other order
    upper = cholesky((prior + precision).flip(-1, -2)).flip(-1, -2)
    scale = torch.linalg.solve_triangular(upper.mT, eye, upper=False)
    keep, lose = scale @ (scale.mT @ prior), scale @ (scale.mT @ precision)  # which sum to I
    told = keep.mT @ precision @ keep + lose.mT @ prior @ lose
    return _Conditional(keep, _apply(scale, _apply(scale.mT, target)), scale, told, _apply(keep.mT, target))


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _square(root: Tensor) -> Tensor:
    return root @ root.mT


def _eye(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)
