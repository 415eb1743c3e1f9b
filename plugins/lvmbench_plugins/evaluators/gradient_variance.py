"""How noisy the gradient estimators are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from inspect import signature
from itertools import combinations
from typing import Annotated, ClassVar, final

import torch
from pydantic import Field
from scipy.special import fdtrc
from torch import Tensor

from lvmbench import Count, Estimator, Evaluator, Measurement, Metric, Objective, Refusal, Subject, Workload
from lvmbench_plugins.evaluators._gradients import Gradients, Sampler

Repeats = Annotated[int, Field(ge=20)]
"""A number of draws that the error of a variance can be estimated from."""

_GROUPS = 10


@final
class GradientVariance(Evaluator):
    r"""The variance of every suitable estimator's gradient, at the trained weights on one batch.

    .. math:: V = \sum_i \operatorname{Var}[g_i], \qquad
        \mathrm{SNR} = \sqrt{\max(0, \|\bar g\|^2 - V / R) \,/\, V}

    where :math:`g` is the gradient of the batch mean of the surrogate with respect to one part's parameters,
    :math:`R` the number of repeats and :math:`\|\bar g\|^2 - V / R` an unbiased estimate of the squared norm
    of the mean. The plain ratio of :math:`\|\bar g\|` to :math:`\sqrt V` has a floor of :math:`1 / \sqrt R`
    even where the mean is zero, which is reported as ``gradient_snr_floor``; this one has none. Repeats are
    drawn in groups; variances are taken within groups, the errors of the mean's norm and of the ratio by a
    jackknife over them. A norm or a ratio whose square is within two errors of 0 has no error: its root has
    no derivative there.

    Estimators that are declared unbiased must agree in their mean. Each repeat of two of them, with
    independent noise, gives one difference of gradients, projected on 4 fixed random directions for each
    part. The disagreement is Hotelling's :math:`F = \frac{R - m}{m (R - 1)} R\, \bar d^\top S^{-1} \bar d` of
    these :math:`m` projections :math:`d`: near 1 where the means agree and then distributed as
    :math:`F(m, R - m)`, which gives the p-value. What has no variance is left out.

    With ``largest``, the same is measured with the objective at :math:`K = 1, 4, 16, \dots` samples in place
    of its own number, where it has an option of that name; variants end in ``/K=4``. The slope of log SNR
    against log K is fitted by least squares weighted by the ratios' errors. For the importance-weighted bound
    it tends to -1/2 in the posterior's parameters and 1/2 in the decoder's. It is left out where there are
    fewer than three K or the error of one of the ratios is not known.

    References:
        Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018),
        https://arxiv.org/abs/1802.04537;
        Monte Carlo Gradient Estimation in Machine Learning (Mohamed et al., 2020),
        https://arxiv.org/abs/1906.10652;
        The Generalization of Student's Ratio (Hotelling, 1931), https://doi.org/10.1214/aoms/1177732979

    Arguments:
        batch: The number of data, drawn from the measured split.
        repeats: How often the gradient is drawn, :math:`R`.
        largest: The largest number of samples K to measure besides the objective's own, in powers of 4.
        chunk: About how many gradients are held at once, fewer for more samples; the random numbers depend on
            it.

    Example:
        >>> sorted(GradientVariance(batch=8).metrics)[:2]
        ['gradient_agreement', 'gradient_disagreement']
    """

    version = 4
    metrics: ClassVar[Mapping[str, Metric]] = {
        "gradient_variance": Metric(
            "Gradient variance", "squared gradient", "lower", "trace of the gradient's covariance"
        ),
        "gradient_norm": Metric("Gradient norm", "gradient", "neither", "norm of the mean gradient"),
        "gradient_snr": Metric(
            "Gradient SNR", "ratio", "higher", "norm of the mean gradient over its standard deviation"
        ),
        "gradient_snr_floor": Metric(
            "Gradient SNR floor", "ratio", "neither", "what the plain ratio reads of a mean of zero"
        ),
        "gradient_snr_slope": Metric(
            "Gradient SNR slope", "power of K", "higher", "slope of log SNR against log K"
        ),
        "gradient_variance_ratio": Metric(
            "Gradient variance ratio", "ratio", "lower", "posterior gradient variance over the pathwise one"
        ),
        "gradient_disagreement": Metric(
            "Gradient disagreement", "F statistic", "lower", "difference of two unbiased estimators' means"
        ),
        "gradient_agreement": Metric(
            "Gradient agreement", "p-value", "neither", "chance of a larger F if the two means agree"
        ),
    }
    board = ("gradient_variance_ratio[score/pathwise]",)

    def __init__(
        self, *, batch: Count = 64, repeats: Repeats = 200, largest: Count | None = None, chunk: Count = 10
    ) -> None:
        self.batch, self.repeats, self.largest, self.chunk = batch, repeats, largest, chunk

    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        own = subject.objective.samples
        names = list(subject.estimators)
        samples = {name: self._sample(subject, name, own) for name in subject.followed(names)}
        for name, parts in samples.items():
            for part, gradients in parts.items():
                yield from _spread(f"{name}/{part}", gradients)
        yield from _ratios(
            {name: parts["posterior"] for name, parts in samples.items() if "posterior" in parts}
        )
        unbiased = [name for name, e in subject.estimators.items() if e.is_unbiased(subject.provides)]
        for pair in combinations(sorted(unbiased, key=lambda name: (name == "pathwise", name)), 2):
            yield from _agreement("/".join(pair), *(samples[name] for name in pair))
        for name, estimator in subject.estimators.items():
            yield from self._sweep(subject, name, self._counts(subject.objective, estimator))

    def evaluations(self, work: Workload) -> int:
        return self._samples(work) * min(self.batch, work.size) * (self.repeats + 1)

    def gradients(self, work: Workload) -> int:
        # one of K samples costs about K times one of a single sample
        return self._samples(work) * min(self.batch, work.size) * self.repeats // work.objective.samples

    def _samples(self, work: Workload) -> int:
        """The samples of all estimators together, each with every K."""
        counts = (
            [work.objective.samples, *self._counts(work.objective, estimator)]
            for estimator in work.estimators.values()
        )
        return sum(map(sum, counts))

    def _counts(self, objective: Objective, estimator: Estimator) -> list[int]:
        """The powers of 4 up to the largest K that the estimator has a gradient for."""
        if self.largest is None or "samples" not in signature(type(objective).__init__).parameters:
            return []
        least = 2 if "objective.multi_sample" in estimator.requires else 1
        powers = (4**power for power in range(self.largest.bit_length()))
        return [count for count in powers if least <= count <= self.largest]

    def _sweep(self, subject: Subject, name: str, counts: list[int]) -> Iterator[Measurement]:
        """The figures of each K, and how the signal-to-noise ratio of each part depends on it."""
        ratios: dict[str, list[Measurement]] = {}
        for count in counts:
            objective = subject.objective.with_samples(count)
            parts = self._sample(replace(subject, objective=objective), name, count, count)
            for part, gradients in parts.items():
                found = list(_spread(f"{name}/{part}/K={count}", gradients))
                ratios.setdefault(part, []).extend(m for m in found if m.metric == "gradient_snr")
                yield from found
        for part, snr in ratios.items():
            if len(snr) == len(counts):
                yield from _slope(f"{name}/{part}", counts, snr)

    def _sample(self, subject: Subject, name: str, count: int, *words: object) -> dict[str, Gradients]:
        order = subject.noise("gradient_variance", "batch").uniform((subject.size,)).argsort()
        sampler = Sampler(subject, name, subject.values(subject.split, order[: self.batch]), *words)
        chunk = self.chunk if not words else max(2, self.chunk // count)
        groups = min(max(_GROUPS, math.ceil(self.repeats / chunk)), self.repeats // 2)
        sizes = [len(rows) for rows in torch.arange(self.repeats).tensor_split(groups)]
        found = [sampler.group(size) for size in sizes]
        return {part: Gradients.joined([group[part] for group in found]) for part in sampler.directions}


def _measurement(metric: str, value: float, stderr: float | None, variant: str) -> Measurement:
    if not math.isfinite(value) or not math.isfinite(stderr or 0.0):
        raise Refusal(f"{metric} of {variant} is not finite")
    return Measurement(metric, value, stderr, variant)


def _spread(variant: str, gradients: Gradients) -> Iterator[Measurement]:
    variance, error = gradients.variance
    yield _measurement("gradient_variance", variance, error, variant)
    square, square_error = gradients.square
    yield _measurement("gradient_norm", max(0.0, square) ** 0.5, _root_error(square, square_error), variant)
    if gradients.noisy:
        ratio, ratio_error = gradients.ratio
        yield _measurement("gradient_snr", max(0.0, ratio) ** 0.5, _root_error(ratio, ratio_error), variant)
        yield _measurement("gradient_snr_floor", len(gradients.deviations) ** -0.5, None, variant)


def _root_error(square: float, error: float) -> float | None:
    """The error of a square root; not known within two errors of 0, where it has no derivative."""
    if error == 0.0:
        return 0.0
    return error / (2 * math.sqrt(square)) if square > 2 * error else None


def _slope(variant: str, counts: list[int], snr: list[Measurement]) -> Iterator[Measurement]:
    """The weighted least squares slope of log SNR against log K, where the error of every ratio is known."""
    errors = [m.stderr for m in snr if m.stderr is not None]
    if len(snr) < 3 or len(errors) < len(snr):
        return
    value = torch.tensor([m.value for m in snr], dtype=torch.float64)
    # the error of a log is the relative error
    weight = (value / torch.tensor(errors, dtype=torch.float64)).square()
    x, y = torch.tensor(counts, dtype=torch.float64).log(), value.log()
    centred = x - (weight @ x) / weight.sum()
    precision = weight @ centred.square()
    slope = (weight * centred) @ y / precision
    yield _measurement("gradient_snr_slope", slope.item(), precision.rsqrt().item(), variant)


def _ratios(samples: Mapping[str, Gradients]) -> Iterator[Measurement]:
    """The variances over that of ``pathwise``, where it is there and has one."""
    base = samples.get("pathwise")
    if base is None or not base.noisy:
        return
    unit, unit_error = base.variance
    for name in sorted(samples.keys() - {"pathwise"}):
        variance, error = samples[name].variance
        spread = math.hypot(error, variance * unit_error / unit) / unit
        yield _measurement("gradient_variance_ratio", variance / unit, spread, f"{name}/pathwise")


def _agreement(
    variant: str, one: Mapping[str, Gradients], other: Mapping[str, Gradients]
) -> Iterator[Measurement]:
    parts = [part for part in one if one[part].noisy or other[part].noisy]
    if parts:
        differences = torch.cat([one[part].shadows - other[part].shadows for part in parts], 1)
        statistic, above, below = _hotelling(differences)
        yield _measurement("gradient_disagreement", statistic, None, variant)
        yield _measurement("gradient_agreement", float(fdtrc(above, below, statistic)), None, variant)


def _hotelling(differences: Tensor) -> tuple[float, int, int]:
    """Hotelling's F that the mean of independent rows, ``(R, m)``, is zero, and its degrees of freedom."""
    # F does not change with the units, and rounding matters less in these
    repeats, standard = len(differences), differences / differences.std(0)
    centred = standard - standard.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / (repeats - 1))
    # gradients of fewer dimensions than directions leave some directions without variance of their own
    kept = values > 1e-6
    m = int(kept.sum())
    square = repeats * ((standard.mean(0) @ vectors[:, kept]).square() / values[kept]).sum().item()
    return square * (repeats - m) / (m * (repeats - 1)), m, repeats - m
