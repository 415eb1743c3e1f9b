"""The model trained where Markov chains from the posterior have come to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, final

import torch
from torch import Tensor, nn

from lvmbench import (
    Count,
    DataSummary,
    Estimate,
    LatentSpace,
    LatentVariableModel,
    Noise,
    SurrogateObjective,
    Terms,
)
from lvmbench.kernels.hmc import FIRST, Density, Place, adapted, transition
from lvmbench.kernels.l2hmc import LearnedLeapfrog, jump_loss, learned_transition

UNITS = 16
"""How many draws of q say where it is and how wide."""
NARROWEST = 1e-6
"""The least width that a coordinate of q counts as."""
SLOW = 0.05
"""How fast the step size that data have in common follows the chance of acceptance, per training step."""


@final
class Mcmc(SurrogateObjective):
    r"""The ELBO for the posterior, and for the model log p(x, z) at the end of chains that start from it.

    .. math:: z_0 \sim q_\phi(z|x), \quad z_t \sim T(\cdot \,|\, z_{t-1}), \qquad
        g_\theta = \nabla_\theta \log p_\theta(x, z_M), \qquad
        g_\phi = \nabla_\phi E\left[\log \frac{p_\theta(x, z_0)}{q_\phi(z_0|x)}\right]

    T leaves p(z|x) as it is, so that z_M is nearer to a draw of it than z_0, and :math:`g_\theta` nearer to
    the gradient of log p(x): the model is not drawn to where q is good. The bound that is reported is the
    ELBO, and a KL weight below 1 acts on that alone. Chains run in units of q, whose mean is 0 there and
    whose standard deviations are 1.

    With ``hmc`` the step sizes of each datum are adapted in the first half of its chain, and then kept; they
    start from one that all data have in common and that follows the acceptance while training. With ``l2hmc``
    steps are learned along: they make :math:`1 / \delta - \delta` small, where :math:`\delta` is the expected
    squared jump of a transition per coordinate. They cost about three times as much.

    References:
        Learning Deep Latent Gaussian Models with Markov Chain Monte Carlo (Hoffman, 2017),
        https://proceedings.mlr.press/v70/hoffman17a.html;
        Generalizing Hamiltonian Monte Carlo with Neural Networks (Levy, Hoffman, Sohl-Dickstein, 2018),
        https://arxiv.org/abs/1711.09268 (l2hmc)

    Arguments:
        kernel: What moves the chains: ``hmc`` or ``l2hmc``.
        chain: The number of transitions :math:`M`.
        leapfrogs: The number of leapfrog steps of each, and so of gradients of log p(x, z).
        samples: The number of samples of the ELBO, each of which starts a chain.
        hidden: The width of the networks of ``l2hmc``.

    Example:
        >>> sorted(Mcmc(chain=3).requires - {"estimator.own"})
        ['decoder.density', 'posterior.pathwise', 'prior.density', 'prior.real']
    """

    requires = SurrogateObjective.requires | {
        "prior.real",
        "prior.density",
        "decoder.density",
        "posterior.pathwise",
    }

    def __init__(
        self,
        *,
        kernel: Literal["hmc", "l2hmc"] = "hmc",
        chain: Count = 5,
        leapfrogs: Count = 5,
        samples: Count = 1,
        hidden: Count = 64,
    ) -> None:
        super().__init__()
        self.samples, self.chain, self.leapfrogs, self.hidden = samples, chain, leapfrogs, hidden
        self.kernel = _KERNELS[kernel]

    def prepare(self, data: DataSummary, space: LatentSpace) -> None:
        self.chains = self.kernel(space, self.chain, self.leapfrogs, self.hidden)

    def forward(self, terms: Terms, kl_weight: Tensor | float = 1.0) -> Tensor:
        return terms.log_w(kl_weight).mean(0)

    def estimate(
        self, model: LatentVariableModel, x: Tensor, noise: Noise, kl_weight: Tensor | float = 1.0
    ) -> Estimate:
        terms = Terms(model, x, noise, self.samples)
        # a posterior may read the model, and a prior be made of the posterior: each follows its own gradient
        bound = model.holding(("prior", "decoder"), lambda: self(terms, kl_weight))
        z, loss = model.holding(model.PARTS, lambda: self._moved(terms))
        end = model.holding(("posterior",), lambda: model.log_joint(x, z).mean(0))
        return Estimate(bound + end - loss, bound)

    def _moved(self, terms: Terms) -> tuple[Tensor, Tensor]:
        """Where chains that start from the samples have come to, ``(K, B, *z)``, and what the kernel
        is trained to make small, ``(B,)``.
        """
        model, x, p = terms.model, terms.x, terms.model.along(terms.x)
        # other draws than those that chains start from: what moves a chain does not depend on where it is
        draws = terms.q.sample(terms.noise, UNITS).detach()
        centre, width = draws.mean(0), draws.std(0).clamp(min=NARROWEST)
        target = Density(lambda u: model.log_joint(x, centre + width * u, p))
        u, loss = self.chains(target, (terms.z.detach() - centre) / width, terms.noise)
        return (centre + width * u).detach(), loss


class _Chains(nn.Module, ABC):
    """So many transitions of each chain."""

    def __init__(self, space: LatentSpace, chain: int, leapfrogs: int, hidden: int) -> None:
        super().__init__()
        self.chain, self.leapfrogs = chain, leapfrogs

    @abstractmethod
    def forward(self, target: Density, z: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """From where chains start, ``(K, B, *z)``, to where they end, and a loss, ``(B,)``."""


class _Hamiltonian(_Chains):
    """Hamiltonian transitions, with a step size of each datum."""

    # A step size that a datum kept from epoch to epoch would be that of a posterior that has changed since,
    # and an objective is not told which data it is shown. So it is found anew within each chain, from one
    # that all data have in common and that follows the training. While step sizes still answer to a chain,
    # it does not leave its target as it is: in the second half they are kept.

    log_step: Tensor

    def __init__(self, space: LatentSpace, chain: int, leapfrogs: int, hidden: int) -> None:
        super().__init__(space, chain, leapfrogs, hidden)
        self.register_buffer("log_step", torch.tensor(FIRST).log())

    def forward(self, target: Density, z: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        state, log_step, chances = target.at(z), self.log_step.expand(z.shape[1]), []
        for index in range(self.chain):
            state, chance = transition(target, state, log_step.exp().unsqueeze(0), self.leapfrogs, noise)
            chances.append(chance.mean(0))
            if index < self.chain // 2:
                log_step = adapted(log_step, chances[-1])
        if self.training:
            self.log_step.copy_(adapted(self.log_step, torch.stack(chances).mean(), SLOW))
        return state.z, torch.zeros_like(log_step)


class _Learned(_Chains):
    """Transitions by learned leapfrog steps."""

    def __init__(self, space: LatentSpace, chain: int, leapfrogs: int, hidden: int) -> None:
        super().__init__(space, chain, leapfrogs, hidden)
        self.steps = LearnedLeapfrog(space.event_shape, leapfrogs, hidden=hidden, step=FIRST)

    def forward(self, target: Density, z: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        state, loss, width = target.at(z), z.new_zeros(z.shape[1]), z[0, 0].numel() ** 0.5
        for _ in range(self.chain):
            state, _, jump = learned_transition(self.steps, target, state, noise)
            loss = loss + jump_loss(jump, width).mean(0) / self.chain
            # each transition is to be good where it starts, and not to make a good start for the next
            state = Place(*(part.detach() for part in state))
        return state.z, loss


_KERNELS: dict[str, type[_Chains]] = {"hmc": _Hamiltonian, "l2hmc": _Learned}
