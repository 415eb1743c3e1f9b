"""The sequential Monte Carlo bound."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor

from lvmbench import Count, Estimate, LatentVariableModel, Noise, Refusal, SurrogateObjective, Terms, Walk
from lvmbench.kernels.resampling import Scheme
from lvmbench.kernels.smc import Resampling, Share, Sweep, When, sweep


@final
class Smc(SurrogateObjective):
    r"""The sequential Monte Carlo bound: particles are weighed at each step of a sequence, and resampled.

    .. math:: L(x) = E[\log \hat Z], \qquad \hat Z = \prod_t \sum_k W_{t-1}^k w_t^k, \qquad
        w_t^k = \frac{p(x_t|z_t^k, h_t^k)\, p(z_t^k|h_t^k)}{q(z_t^k|h_t^k, x)}

    The weights :math:`W_t^k \propto W_{t-1}^k w_t^k` are :math:`1 / K` after resampling, by which particles
    of little weight give way to copies of others. As :math:`E\,\hat Z = p(x)` it is a lower bound; of long
    sequences it is far closer than the importance-weighted one, which it is without resampling. With one
    particle it is the ELBO. Resampling whenever the weights are worth less than half of the particles is
    FIVO, resampling at each step AESMC and VSMC.

    The gradient passes through the particles. That of resampling is ``dropped`` in all three, for which it is
    biased and less noisy; or it is ``kept`` by the score of the ancestors that were chosen. That is unbiased,
    but with ``ess``, where a small change of the weights decides whether to resample at all. It needs
    multinomial resampling: by the other schemes the score has no finite variance.

    References:
        Filtering Variational Objectives (Maddison, Lawson, Tucker, Heess, Norouzi, Mnih, Doucet, Teh, 2017),
        https://arxiv.org/abs/1705.09279;
        Auto-Encoding Sequential Monte Carlo (Le, Igl, Rainforth, Jin, Wood, 2018),
        https://arxiv.org/abs/1705.10306;
        Variational Sequential Monte Carlo (Naesseth, Linderman, Ranganath, Blei, 2018),
        https://arxiv.org/abs/1705.11140

    Arguments:
        particles: The number of particles :math:`K`.
        resampling: When to resample before a step: ``never``, ``always``, or where the effective sample size
            of the weights is too small, ``ess``.
        threshold: The share of the particles below which the effective sample size is too small.
        scheme: How ancestors are chosen.
        gradient: Whether the gradient of the choice of ancestors is ``dropped`` or ``kept``.

    Example:
        >>> sorted(Smc(particles=4).requires)
        ['estimator.own', 'posterior.pathwise', 'prior.steps']
    """

    requires = SurrogateObjective.requires | {"prior.steps", "posterior.pathwise"}
    evidence = True

    def __init__(
        self,
        *,
        particles: Count = 4,
        resampling: When = "ess",
        threshold: Share = 0.5,
        scheme: Scheme = "multinomial",
        gradient: Literal["dropped", "kept"] = "dropped",
    ) -> None:
        super().__init__()
        kept = gradient == "kept"
        if kept and scheme != "multinomial":
            raise Refusal(
                f"gradient=kept follows the score of the ancestors, which has no finite variance with "
                f"scheme={scheme}; use scheme=multinomial"
            )
        self.samples, self.kept = particles, kept
        self.resampling = Resampling(resampling, threshold, scheme)
        if resampling == "never" or (kept and resampling == "always"):
            self.provides = SurrogateObjective.provides | {"unbiased"}

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        return self._sweep(terms, kl_weight).log_z

    def estimate(
        self, model: LatentVariableModel, x: Tensor, noise: Noise, kl_weight: Tensor | float = 1.0
    ) -> Estimate:
        found = self._sweep(Terms(model, x, noise, self.samples), kl_weight)
        return Estimate(found.surrogate() if self.kept else found.log_z, found.log_z)

    def _sweep(self, terms: Terms, kl_weight: Tensor | float) -> Sweep:
        """Draw from what the terms are of: particles are not whole samples of z."""
        way = Walk(terms.model, terms.x, q=terms.q, p=terms.p)
        return sweep(way, terms.noise, terms.samples, self.resampling, kl_weight=kl_weight)
