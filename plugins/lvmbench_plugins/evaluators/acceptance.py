"""What a posterior accepts that chooses among proposals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from lvmbench import Count, Evaluator, Measurement, Metric, Noise, Subject, Workload
from lvmbench.distributions.resampled import threshold
from lvmbench_plugins.evaluators._common import Several, drawn, measurements, of_some, some_data


@final
class Acceptance(Evaluator):
    r"""How many proposals of a posterior by rejection are accepted, and how many its choice is worth.

    .. math:: Z_R(x) = E_{q(z|x)}[\operatorname{sigmoid}(T(x) + \log w)], \qquad
        N_{\text{eff}} = \frac{1}{\sum_k s_k^2}

    The threshold T of N proposals is such that the share :math:`\gamma` of these very N is accepted;
    ``proposals_accepted`` is the share of N others that it accepts. The two differ where N proposals are too
    few to tell how log w is spread. ``effective_proposals`` is N where all shares are equal, and 1 where one
    proposal has all.

    References:
        Variational Rejection Sampling (Grover, Gummadi, Lazaro-Gredilla, Schuurmans, Ermon, 2018),
        https://arxiv.org/abs/1804.01712

    Arguments:
        samples: How often the proposals are drawn for each datum.
        data: How many data of the split to take at most, drawn at random.
        chunk: How many proposals are decoded at once; the random numbers depend on it.

    Example:
        >>> sorted(Acceptance().metrics)
        ['effective_proposals', 'proposals_accepted']
    """

    requires = frozenset({"posterior.proposals"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "proposals_accepted": Metric(
            "Proposals accepted", "fraction", "neither", "share of the proposals that is accepted"
        ),
        "effective_proposals": Metric(
            "Effective proposals", "samples", "higher", "proposals that those to choose from are worth"
        ),
    }

    def __init__(self, *, samples: Several = 10, data: Count = 500, chunk: Count = 16384) -> None:
        self.samples, self.data, self.chunk = samples, data, chunk

    def evaluations(self, work: Workload) -> int:
        return min(self.data, work.size) * 2 * self.samples

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        noise = subject.noise("acceptance")
        size = max(1, self.chunk // (2 * self.samples))
        found = []
        for x in subject.followed(some_data(subject, self.data).split(size)):
            accepted, worth = self._of(subject.q(x), noise)
            found.append(
                {
                    ("proposals_accepted", "", ""): drawn(accepted),
                    ("effective_proposals", "", ""): drawn(worth),
                }
            )
        return of_some(measurements(found), subject)

    def _of(self, q: Any, noise: Noise) -> tuple[Tensor, Tensor]:
        """What is accepted of other proposals, and what the proposals are worth, ``(S, B)`` each."""
        _, _, own = q.propose(noise, self.samples)
        _, _, others = q.propose(noise, self.samples)
        worth = 1 / (2 * q.log_shares(own)).exp().sum(0)
        return (others + threshold(own, q.acceptance)).sigmoid().mean(0), worth
