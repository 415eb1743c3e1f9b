"""The Wasserstein autoencoder."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from lvmbench import NonNegative, Objective, Terms, Varying, observed
from lvmbench.kernels.mmd import KERNELS, Name, squared_mmd


@final
class Wasserstein(Objective):
    r"""Minus the cost of transport from model to data, relaxed by the maximum mean discrepancy (WAE-MMD).

    .. math:: -E_{q(z|x)} \|x - G(z)\|^2 - \lambda\, \mathrm{MMD}^2(q(z), p(z)), \qquad G(z) = E[x \,|\, z]

    The decoder is only its mean: it is not trained as a density, and log p(x) is not defined.

    References:
        Wasserstein Auto-Encoders (Tolstikhin, Bousquet, Gelly, Schoelkopf, 2018), https://arxiv.org/abs/1711.01558

    Arguments:
        scale: The weight :math:`\lambda`.
        encoder: Whether z is a sample of the posterior (``random``) or its mean (``deterministic``).
        kernel: ``imq``, inverse multiquadric, or ``rbf``.

    Example:
        >>> Wasserstein().density
        False
    """

    lower_bound = False
    batchwise = True
    linear = True
    density = False

    scale: Tensor

    def __init__(
        self,
        *,
        scale: Varying[NonNegative] = 10.0,
        encoder: Literal["random", "deterministic"] = "random",
        kernel: Name = "imq",
    ) -> None:
        super().__init__()
        self.encoder, self.kernel = encoder, KERNELS[kernel]
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        of_mean = {"posterior.mean"} if encoder == "deterministic" else set()
        self.requires = frozenset({"prior.real", "prior.fixed", "decoder.mean"} | of_mean)

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        # one sample for each datum, as two of one datum are no independent draws of q(z)
        z = terms.q.mean.unsqueeze(0) if self.encoder == "deterministic" else terms.z[:1]
        prior = terms.p.sample(terms.noise, len(terms.x)).flatten(1)
        made = terms.model.decode(z).mean[0]
        x, _ = observed(terms.x, made)  # what was not observed costs nothing
        cost = (made - x).square().flatten(1).sum(1)
        value: Tensor = -cost - kl_weight * self.scale * squared_mmd(self.kernel, z[0].flatten(1), prior)
        return value
