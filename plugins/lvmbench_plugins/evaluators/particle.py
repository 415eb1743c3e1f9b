"""log p(x) of sequences by particles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from lvmbench import Count, Evaluator, Measurement, Metric, Noise, Precision, Subject, Walk, Workload
from lvmbench.kernels.resampling import Scheme
from lvmbench.kernels.smc import Resampling, Share, When, sweep
from lvmbench_plugins.evaluators._common import (
    Figure,
    Figures,
    LogMean,
    Several,
    drawn,
    in_batches,
    known,
    measurements,
    of_some,
    some_data,
    with_steps,
)


@final
class Particle(Evaluator):
    r"""log p(x) of sequences by sequential Monte Carlo, beside the exact one where that is known.

    .. math:: \log \hat p(x) = \log \frac1R \sum_r \hat Z_r, \qquad E\,\hat Z_r = p(x)

    :math:`\hat Z_r` is what the particles of one sweep along the sequence make of p(x): see the objective
    ``smc``. Particles follow the trained posterior, or the prior, which is the bootstrap filter and does not
    depend on the posterior. The mean of :math:`\log \hat Z_r` over the sweeps, ``particle_bound``, is a lower
    bound for any number of particles, and rises to log p(x) with it; ``particle_spread`` is the standard
    deviation of :math:`\log \hat Z_r` from sweep to sweep.

    The error of :math:`\log \hat p(x)` is found by the jackknife, as in ``tightness``, and counts the bias.
    None is stated where the mean over sweeps is worth too few of them, nor for the spread. All figures are
    also given as ``per_step``: the total over all data over the total number of their steps.

    References:
        Novel Approach to Nonlinear/Non-Gaussian Bayesian State Estimation (Gordon, Salmond, Smith, 1993),
        https://doi.org/10.1049/ip-f-2.1993.0015;
        Particle Markov Chain Monte Carlo Methods (Andrieu, Doucet, Holenstein, 2010),
        https://doi.org/10.1111/j.1467-9868.2009.00736.x;
        A New Approach to Linear Filtering and Prediction Problems (Kalman, 1960),
        https://doi.org/10.1115/1.3662552 (where it is exact)

    Arguments:
        particles: The number of particles of a sweep.
        repeats: The number of sweeps :math:`R`.
        resampling: When to resample before a step: ``never``, ``always``, or where the effective sample size
            of the weights is too small, ``ess``.
        threshold: The share of the particles below which the effective sample size is too small.
        scheme: How ancestors are chosen.
        proposal: What particles follow, the ``posterior`` or the ``prior``.
        data: How many data of the split to take at most, drawn at random.
        chunk: How many pairs of particle and datum are decoded at once; the random numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> sorted(Particle(particles=100).metrics)
        ['log_likelihood', 'particle_bound', 'particle_spread']
    """

    requires = frozenset({"objective.density", "prior.steps"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "log_likelihood": Metric("log p(x)", "nats", "higher", "log density of the data under the model"),
        "particle_bound": Metric(
            "Particle bound", "nats", "higher", "mean log of what a sweep of particles makes of p(x)"
        ),
        "particle_spread": Metric(
            "Particle spread", "nats", "lower", "standard deviation of that log from sweep to sweep"
        ),
    }

    def __init__(
        self,
        *,
        particles: Count = 128,
        repeats: Several = 16,
        resampling: When = "ess",
        threshold: Share = 0.5,
        scheme: Scheme = "systematic",
        proposal: Literal["posterior", "prior"] = "posterior",
        data: Count = 10_000,
        chunk: Count = 8192,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.particles, self.repeats, self.data, self.chunk = particles, repeats, data, chunk
        self.resampling = Resampling(resampling, threshold, scheme)
        self.bootstrap = proposal == "prior"

    def evaluations(self, work: Workload) -> int:
        return min(self.data, work.size) * self.particles * self.repeats

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        noise, size = subject.noise("particle"), max(1, self.chunk // self.particles)
        batches = in_batches(subject, some_data(subject, self.data), size)
        found = measurements([self._figures(subject, x, noise) for x in subject.followed(batches)])
        return with_steps(of_some(found, subject), subject, batches, self.metrics)

    def _figures(self, subject: Subject, x: Tensor, noise: Noise) -> Figures:
        log_z = self._sweeps(subject, x, noise)
        bound, method = log_z.mean(0), "bootstrap" if self.bootstrap else "particles"
        figures = {
            ("log_likelihood", "", method): LogMean.of(log_z).figure(bound),
            ("particle_bound", "", method): drawn(log_z, size=bound),
            ("particle_spread", "", method): Figure(log_z.std(0), None),
        }
        if "model.exact_posterior" in subject.provides:
            figures["log_likelihood", "", "exact"] = known(subject.model.exact_log_prob(x))
        return figures

    def _sweeps(self, subject: Subject, x: Tensor, noise: Noise) -> Tensor:
        """The log of what each sweep makes of p(x), ``(R, B)``."""
        way = Walk(subject.model, x)
        sweeps = (
            sweep(way, noise, self.particles, self.resampling, bootstrap=self.bootstrap)
            for _ in range(self.repeats)
        )
        return torch.stack([found.log_z for found in sweeps])
