"""Annealed importance sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from lvmbench import Count, Evaluator, Measurement, Metric, Noise, Precision, Subject, Workload
from lvmbench_plugins.evaluators._annealing import Annealing, Path
from lvmbench_plugins.evaluators._common import (
    Figure,
    Figures,
    LogMean,
    Several,
    in_batches,
    measurements,
    of_some,
    some_data,
    with_steps,
)


@final
class Ais(Evaluator):
    r"""A stochastic lower bound of log p(x): chains annealed from the prior, or from q, to the posterior.

    .. math:: \log \hat p(x) = \log \frac1C \sum_c w_c, \quad
        \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log \frac{p(x, z_{t-1})}{r(z_{t-1})}, \quad
        z_0 \sim r

    where :math:`z_t` is moved from :math:`z_{t-1}` by Hamiltonian Monte Carlo at
    :math:`\pi_t \propto r^{1-\beta_t}\, p(x, z)^{\beta_t}`, and :math:`\beta_t` is a sigmoid of t. The
    weights' expectation is p(x) whatever the transitions, so that the mean of :math:`\log \hat p` never
    exceeds log p(x); more temperatures bring it closer. Each chain's step sizes are found in a run of its own
    and do not change while weights are collected.

    The error is the root mean square distance from log p(x): what the chains' spread says by the jackknife,
    and the bias, half the variance of :math:`\log \hat p`. None is stated where the mean weight of half of
    the data or more is worth fewer than 5 chains of equal weight: take more temperatures. What no chain has
    found, a mode far away, does not show in it.

    References:
        Annealed Importance Sampling (Neal, 2001), https://arxiv.org/abs/physics/9803008;
        On the Quantitative Analysis of Decoder-Based Generative Models (Wu et al., 2017),
        https://arxiv.org/abs/1611.04273;
        The Jackknife Estimate of Variance (Efron, Stein, 1981), https://doi.org/10.1214/aos/1176345462

    Arguments:
        temperatures: The number of intervals :math:`T`; the papers take 1,000 to 10,000.
        chains: The number of chains :math:`C` for each datum.
        leapfrogs: The number of leapfrog steps of each transition.
        start: The density :math:`r` of the start: the ``prior``, or the ``posterior`` q(z|x).
        adaptation: The number of temperatures of the run that finds the step sizes.
        data: How many data of the split to take at most, drawn at random.
        batch: How many data have their chains moved at once; the random numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> Ais(temperatures=1000, start="posterior").metrics["log_likelihood"].unit
        'nats'
    """

    version = 2
    metrics: ClassVar[Mapping[str, Metric]] = {
        "log_likelihood": Metric("log p(x)", "nats", "higher", "log density of the data under the model"),
        "acceptance_rate": Metric(
            "Acceptance rate", "fraction", "neither", "share of the Hamiltonian transitions accepted"
        ),
    }

    def __init__(
        self,
        *,
        temperatures: Count = 100,
        chains: Several = 16,
        leapfrogs: Count = 5,
        start: Literal["prior", "posterior"] = "prior",
        adaptation: Count = 30,
        data: Count = 100,
        batch: Count = 64,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.temperatures, self.chains, self.leapfrogs = temperatures, chains, leapfrogs
        self.start, self.adaptation, self.data, self.batch = start, adaptation, data, batch
        of_q = {"posterior.density"} if start == "posterior" else set()
        self.requires = frozenset(
            {"objective.density", "prior.real", "prior.density", "decoder.density"} | of_q
        )

    def evaluations(self, work: Workload) -> int:
        moves = self.adaptation + self.temperatures - 1
        return min(self.data, work.size) * self.chains * (moves * self.leapfrogs + 2)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        x, noise = some_data(subject, self.data), subject.noise("ais")
        batches = in_batches(subject, x, self.batch)
        found = measurements([self.figures(subject, batch, noise) for batch in subject.followed(batches)])
        return with_steps(of_some(found, subject), subject, batches, self.metrics)

    def figures(self, subject: Subject, x: Tensor, noise: Noise) -> Figures:
        """The figures of a batch."""
        q = subject.q(x) if self.start == "posterior" else None
        path = Path(subject.model, x, q, leapfrogs=self.leapfrogs)
        annealing = Annealing(path, self.temperatures, self.adaptation, self.chains, noise)
        log_w, moved = annealing.forward(noise)
        return {
            ("log_likelihood", "", "ais"): LogMean.of(log_w).figure(),
            ("acceptance_rate", "", ""): Figure(moved.mean(0), None),
        }
