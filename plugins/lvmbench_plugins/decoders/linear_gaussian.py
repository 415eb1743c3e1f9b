"""The linear-Gaussian decoder, whose posterior is known."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lvmbench import (
    DataSummary,
    Decoder,
    DiagonalNormal,
    LatentSpace,
    LinearChain,
    LinearDynamics,
    LinearSteps,
    Mixture,
    MultivariateNormal,
    Positive,
    Refusal,
    Varying,
    cholesky,
    observed,
    register_posterior,
)
from lvmbench.kernels.kalman import linear_posterior


@final
class LinearGaussian(Decoder):
    r"""A linear map of z with independent noise: probabilistic PCA or factor analysis under a normal prior.

    .. math:: p(x|z) = N(x; W z + b, \Psi), \qquad \Psi = \sigma^2 I \quad \text{or} \quad
        \operatorname{diag} \sigma^2

    The covariance :math:`\Psi` of the noise is ``isotropic`` in probabilistic PCA, ``diagonal`` in factor
    analysis.

    Under a normal prior :math:`N(m, S)`, such as a linear hierarchy, the posterior is normal with precision
    :math:`S^{-1} + W^\top \Psi^{-1} W`; under a mixture of normals it is a mixture of such posteriors, and
    under linear dynamics that of the Kalman smoother. Where not all of x was observed, :math:`W` has the rows
    of what was.

    References:
        Probabilistic Principal Component Analysis (Tipping, Bishop, 1999),
        https://doi.org/10.1111/1467-9868.00196;
        EM Algorithms for ML Factor Analysis (Rubin, Thayer, 1982), https://doi.org/10.1007/BF02293851;
        Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse (Lucas et al., 2019),
        https://arxiv.org/abs/1911.02469

    Arguments:
        covariance: Whether the noise has one learned variance, or one for each value.
        noise: The initial noise standard deviation :math:`\sigma`.
        floor: The smallest log standard deviation, which keeps the likelihood bounded.

    Example:
        >>> from lvmbench import DataSummary, LatentSpace
        >>> p = LinearGaussian(DataSummary((3,), "real", torch.zeros(3)), LatentSpace((2,)))
        >>> p(torch.zeros(5, 7, 2)).log_prob(torch.ones(7, 3)).shape
        torch.Size([5, 7])
    """

    distribution = DiagonalNormal
    requires = frozenset({"dataset.real", "prior.real"})

    def __init__(
        self,
        data: DataSummary,
        space: LatentSpace,
        *,
        covariance: Literal["isotropic", "diagonal"] = "isotropic",
        noise: Varying[Positive] = 1.0,
        floor: float = -5.0,
    ) -> None:
        super().__init__()
        if len(space.event_shape) != 1:
            raise Refusal(
                f"linear_gaussian reads a vector of latents; the prior's are of shape {space.event_shape}"
            )
        self.event_shape, latent = data.event_shape, space.event_shape[0]
        self.complete, self.floor = data.complete, floor
        self.weight = nn.Parameter(torch.randn(math.prod(data.event_shape), latent) / math.sqrt(latent))
        self.bias = nn.Parameter(data.mean.flatten().clone())
        shape = () if covariance == "isotropic" else (len(self.bias),)
        self.log_scale = nn.Parameter(torch.full(shape, math.log(noise)))

    def forward(self, z: Tensor) -> DiagonalNormal:
        flat = self.flat(z)
        loc, log_scale = (part.unflatten(-1, self.event_shape) for part in (flat.loc, flat.log_scale))
        return DiagonalNormal(loc, log_scale, len(self.event_shape))

    def flat(self, z: Tensor) -> DiagonalNormal:
        """p(x|z) over x as vectors."""
        return DiagonalNormal(z @ self.weight.T + self.bias, self.log_noise)

    @property
    def log_noise(self) -> Tensor:
        """The log standard deviation of the noise, one or one for each value."""
        return self.log_scale.clamp(min=self.floor)


def _condition(loc: Tensor, precision: Tensor, decoder: LinearGaussian, x: Tensor) -> MultivariateNormal:
    """p(z|x) for normal p(z) of mean (..., Z) and a precision matrix, and x of shape (..., D).

    NaN in x was not observed.
    """
    # of several layers the decoder reads the first alone: the others have weights of zero
    weight = pad(decoder.weight, (0, loc.shape[-1] - decoder.weight.shape[-1]))
    scaled = weight.T * (-2 * decoder.log_noise).exp()  # W' Psi^-1, (Z, D)
    values, told = _told(decoder, x, scaled, weight)
    factor = cholesky(precision + told)
    target = (values - decoder.bias) @ scaled.T + (precision @ loc.unsqueeze(-1)).squeeze(-1)  # (..., Z)
    mean = torch.cholesky_solve(target.unsqueeze(-1), factor).squeeze(-1)
    return MultivariateNormal(mean, cholesky(torch.cholesky_inverse(factor)))


def _diagonal(p: DiagonalNormal, decoder: LinearGaussian, x: Tensor) -> MultivariateNormal:
    return _condition(p.loc, torch.diag_embed((-2 * p.log_scale).exp()), decoder, x)


def _told(decoder: LinearGaussian, x: Tensor, scaled: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """x with its mean at z = 0 where it was not observed, and what the rest adds to the precision.

    That is W' Psi^-1 W, (..., Z, Z), of the rows of W that were.
    """
    if decoder.complete:
        return x, scaled @ weight
    values, mask = observed(x, decoder.bias)
    return values, (scaled * mask.to(scaled.dtype).unsqueeze(-2)) @ weight


@register_posterior(DiagonalNormal, LinearGaussian)
def _normal_posterior(p: DiagonalNormal, decoder: LinearGaussian, x: Tensor) -> MultivariateNormal:
    return _diagonal(p, decoder, x.flatten(1))


@register_posterior(LinearChain, LinearGaussian)
def _chain_posterior(p: LinearChain, decoder: LinearGaussian, x: Tensor) -> MultivariateNormal:
    joint = p.joint
    return _condition(joint.loc, torch.cholesky_inverse(joint.scale_tril), decoder, x.flatten(1))


@register_posterior(Mixture[DiagonalNormal], LinearGaussian)
def _mixture_posterior(
    p: Mixture[DiagonalNormal], decoder: LinearGaussian, x: Tensor
) -> Mixture[MultivariateNormal]:
    x = x.flatten(1).unsqueeze(-2)  # (B, 1, D)
    components = _diagonal(p.components, decoder, x)  # batch (B, C)
    z = components.mean
    noise = decoder.flat(z)
    log_p = noise.log_prob(x) if decoder.complete else noise.observed_log_prob(x)
    evidence = log_p + p.components.log_prob(z) - components.log_prob(z)  # log p(x | c), (B, C)
    return Mixture(p.log_weights + evidence, components)


@register_posterior(LinearDynamics, LinearGaussian)
def _smoothed_posterior(p: LinearDynamics, decoder: LinearGaussian, x: Tensor) -> LinearSteps:
    log_noise = decoder.log_noise.expand_as(decoder.bias)
    return linear_posterior(p, decoder.weight, decoder.bias, log_noise, x.flatten(2))
