"""How well Hamiltonian Monte Carlo mixes on the true posteriors of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, final

import torch
from pydantic import Field
from torch import Tensor

from lvmbench import Count, Evaluator, Measurement, Metric, Noise, Subject, Workload
from lvmbench.kernels.hmc import FIRST, Density, Place, adapted, transition
from lvmbench.kernels.mixing import effective_sample_size, normal_scores, r_hat
from lvmbench_plugins.evaluators._common import (
    Figure,
    Figures,
    Several,
    drawn,
    measurements,
    of_some,
    some_data,
)

JITTER = 0.2
"""By what share a step is longer or shorter at most, at random:
no trajectory comes round to where it began at each transition.
"""


@final
class Chains(Evaluator):
    r"""How often Hamiltonian chains on p(z|x) move, what their draws are worth, and whether they agree.

    .. math:: \pi(z) \propto p(z)\, p(x|z), \qquad
        \frac{\mathrm{ESS}}{CNL}, \qquad \hat R = \sqrt{\hat V / W}

    for each datum and the coordinate that is worst off: the effective sample size of C chains of N draws for
    each of their leapfrog steps, of which each takes a gradient, and the split R-hat. Both are of ranks,
    R-hat of distances from the median, too. One half of the chains starts from q(z|x) and the other from
    p(z): where they end in different modes, or q was wrong and they are still on their way, R-hat is far
    above 1, and the effective sample size is worth nothing. Below 1.01 it is good for 4 chains of some
    length.

    The step size of each datum is found in transitions that are not counted, then kept; each transition has
    it longer or shorter by up to a fifth. Neither size nor R-hat has a standard error: that would rest on a
    few chains.

    References:
        Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC
        (Vehtari, Gelman, Simpson, Carpenter, Buerkner, 2021), https://arxiv.org/abs/1903.08008;
        MCMC Using Hamiltonian Dynamics (Neal, 2011), https://arxiv.org/abs/1206.1901

    Arguments:
        chains: The number of chains :math:`C` for each datum.
        draws: The number of draws :math:`N` of each chain.
        adaptation: The number of transitions before them, that find the step size.
        leapfrogs: The number of leapfrog steps :math:`L` of each transition.
        data: How many data of the split to take at most, drawn at random.
        batch: How many data have their chains moved at once; the random numbers depend on it.

    Example:
        >>> Chains(draws=1000).metrics["split_r_hat"].better
        'lower'
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "acceptance_rate": Metric(
            "Acceptance rate", "fraction", "neither", "share of the Hamiltonian transitions accepted"
        ),
        "ess_per_gradient": Metric(
            "Effective samples per gradient",
            "samples",
            "higher",
            "independent draws of p(z|x) that a gradient of log p(x, z) is worth",
        ),
        "split_r_hat": Metric(
            "Split R-hat", "ratio", "lower", "disagreement of chains on p(z|x); 1 where they agree"
        ),
    }
    requires = frozenset(
        {"objective.density", "prior.real", "prior.density", "prior.fixed", "decoder.density"}
    )

    def __init__(
        self,
        *,
        chains: Several = 4,
        draws: Annotated[int, Field(ge=8)] = 200,
        adaptation: Count = 100,
        leapfrogs: Count = 5,
        data: Count = 50,
        batch: Count = 64,
    ) -> None:
        self.chains, self.draws, self.adaptation = chains, draws, adaptation
        self.leapfrogs, self.data, self.batch = leapfrogs, data, batch

    def evaluations(self, work: Workload) -> int:
        moves = self.adaptation + self.draws
        return min(self.data, work.size) * self.chains * (moves * self.leapfrogs + 1)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        x, noise = some_data(subject, self.data), subject.noise("chains")
        batches = x.split(self.batch)
        found = measurements([self.figures(subject, batch, noise) for batch in subject.followed(batches)])
        return of_some(found, subject)

    def figures(self, subject: Subject, x: Tensor, noise: Noise) -> Figures:
        """The figures of a batch."""
        p = subject.model.p()
        target = Density(lambda z: subject.model.log_joint(x, z, p))
        z, chance = self.run(target, self.start(subject, x, noise), noise)
        z = z.flatten(3)  # (N, C, B, D)
        gradients = self.chains * self.draws * self.leapfrogs
        size = effective_sample_size(normal_scores(z)).amin(-1)
        return {
            ("acceptance_rate", "", ""): drawn(chance.mean(0)),
            ("ess_per_gradient", "", ""): Figure(size / gradients, None),
            ("split_r_hat", "", ""): Figure(r_hat(z).amax(-1), None),
        }

    def start(self, subject: Subject, x: Tensor, noise: Noise) -> Tensor:
        """Where chains begin, ``(C, B, *z)``."""
        far = self.chains // 2
        near = subject.q(x).sample(noise, self.chains - far)
        return torch.cat([near, subject.model.prior_draws(x, noise, far)])

    def run(self, target: Density, z: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """The draws of each chain, ``(N, C, B, *z)``, and their chances of acceptance, ``(N, C, B)``."""
        state, log_step = self.adapt(target, target.at(z), noise)
        places, chances = [], []
        for _ in range(self.draws):
            state, chance = self.move(target, state, log_step, noise)
            places.append(state.z)
            chances.append(chance)
        return torch.stack(places), torch.stack(chances)

    def adapt(self, target: Density, state: Place, noise: Noise) -> tuple[Place, Tensor]:
        """Where chains are once the step sizes are found, and the logs of these, ``(B,)``."""
        log_step, tried = torch.full_like(state.log_density[0], FIRST).log(), []
        for _ in range(self.adaptation):
            state, chance = self.move(target, state, log_step, noise)
            log_step = adapted(log_step, chance.mean(0))
            tried.append(log_step)
        # the mean of the second half, which varies less than the last
        return state, torch.stack(tried[len(tried) // 2 :]).mean(0)

    def move(self, target: Density, state: Place, log_step: Tensor, noise: Noise) -> tuple[Place, Tensor]:
        """A transition of each chain, and its chance of acceptance, ``(C, B)``."""
        factor = 1 + JITTER * (2 * noise.uniform(state.log_density.shape) - 1)
        return transition(target, state, factor * log_step.exp(), self.leapfrogs, noise)
