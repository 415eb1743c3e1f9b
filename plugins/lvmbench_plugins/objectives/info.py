"""The ELBO with the aggregated posterior held to the prior."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lvmbench import NonNegative, Objective, Terms, Varying
from lvmbench.kernels.mmd import KERNELS, Name, squared_mmd


@final
class Info(Objective):
    r"""The InfoVAE objective, its divergence of the aggregated posterior being the maximum mean discrepancy.

    .. math:: E_{q(z|x)}[\log p(x|z)] - (1 - \alpha)\, \mathrm{KL}(q(z|x) \,\|\, p(z))
        - (\alpha + \lambda - 1)\, \mathrm{MMD}^2(q(z), p(z))

    The discrepancy is of a sample of z for each datum of the batch from as many of the prior; each datum
    bears it whole. With :math:`\alpha = 1` it is the MMD-VAE. It is not a lower bound on log p(x).

    References:
        InfoVAE: Balancing Learning and Inference in Variational Autoencoders (Zhao, Song, Ermon, 2019),
        https://arxiv.org/abs/1706.02262

    Arguments:
        alpha: The share :math:`\alpha` of the mutual information that is not paid for.
        scale: The weight :math:`\lambda`.
        kernel: ``imq``, inverse multiquadric, or ``rbf``.

    Example:
        >>> Info(alpha=1.0).lower_bound
        False
    """

    version = 2
    lower_bound = False
    batchwise = True
    linear = True
    default_estimators = ("stl", "pathwise", "score")
    requires = frozenset({"prior.real", "prior.fixed"})

    alpha: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        alpha: Varying[float] = 0.0,
        scale: Varying[NonNegative] = 10.0,
        kernel: Name = "imq",
    ) -> None:
        super().__init__()
        self.kernel = KERNELS[kernel]
        self.register_buffer("alpha", torch.tensor(alpha), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        size = len(terms.x)
        # one sample for each datum, as two of one datum are no independent draws of q(z)
        z = terms.z[0].flatten(1)
        prior = terms.p.sample(terms.noise, size).flatten(1)
        penalty = (self.alpha + self.scale - 1) * squared_mmd(self.kernel, z, prior)
        divergence = (1 - self.alpha) * terms.kl() + penalty
        return terms.log_likelihood.mean(0) - kl_weight * divergence
