"""How much better a model is on the data that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import torch

from lvmbench import Count, Evaluator, Measurement, Metric, Precision, Subject, Workload
from lvmbench_plugins.evaluators._common import (
    Figures,
    Several,
    error_of_difference,
    measurements,
    some_data,
    training_data,
)
from lvmbench_plugins.evaluators.tightness import Tightness

FIGURES = ("elbo", "log_likelihood", "gap")


@final
class Generalization(Evaluator):
    r"""What figures of tightness are on training data, less what they are on the data that are measured.

    .. math:: \frac1N \sum_{x \in \text{train}} f(x) - \frac1M \sum_{x \in \text{test}} f(x), \qquad
        f \in \{\mathrm{ELBO}, \log p, \log p - \mathrm{ELBO}\}

    The one of log p(x), ``log_likelihood``, is what the generative model has learned by heart; the one of the
    ``gap``, below zero, is how much better inference is for data that the network has seen. The ELBO's is
    the first less the second. Weights are those of the epoch that was best on validation, as always, so that
    what a longer training would have learned by heart does not show. Standard errors are those of the draws,
    not of the choice of data.

    References:
        Amortized Inference Regularization (Shu, Bui, Zhao, Kochenderfer, Ermon, 2018),
        https://arxiv.org/abs/1805.08913;
        On the Quantitative Analysis of Decoder-Based Generative Models (Wu, Burda, Salakhutdinov, Grosse,
        2017), https://arxiv.org/abs/1611.04273

    Arguments:
        samples: The number of draws of z for each datum.
        data: How many data to take at most, of the training data as of the others, drawn at random.
        chunk: How many pairs of sample and datum are decoded at once; the random numbers depend on it.
        precision: How exact the matrix products of the decoder are.

    Example:
        >>> Generalization(samples=100).metrics["generalization_gap"].better
        'lower'
    """

    requires = Tightness.requires
    metrics: ClassVar[Mapping[str, Metric]] = {
        "generalization_gap": Metric(
            "Generalisation gap", "nats", "lower", "a figure on training data less the same on others"
        ),
    }
    board = ("generalization_gap[log_likelihood,importance]",)

    def __init__(
        self,
        *,
        samples: Several = 1000,
        data: Count = 1000,
        chunk: Count = 2048,
        precision: Precision = "highest",
    ) -> None:
        self.precision = precision
        self.samples, self.data = samples, data
        self.tightness = Tightness(samples=samples, repeats=2, chunk=chunk)

    def evaluations(self, work: Workload) -> int:
        sizes = (min(self.data, size) for size in (work.sizes["train"], work.size))
        return sum(sizes) * (self.samples + 2 * work.objective.samples)

    @torch.no_grad()
    def evaluate(self, subject: Subject) -> list[Measurement]:
        noise = subject.noise("generalization")
        seen, _ = training_data(subject, noise, self.data)
        batches = [self.tightness.batches(subject, x) for x in (seen, some_data(subject, self.data))]
        stages = (subject.stage(0, 0.5), subject.stage(0.5, 1))
        one, other = (self.tightness.figures(*pair, noise) for pair in zip(stages, batches, strict=True))
        pairs = zip(measurements([one]), measurements([other]), _errors(one, other), strict=True)
        return [
            Measurement("generalization_gap", m.value - n.value, error, _variant(m), m.method)
            for m, n, error in pairs
            if m.metric in FIGURES
        ]


def _errors(one: Figures, other: Figures) -> list[float | None]:
    """The Monte Carlo error of each figure's difference."""
    return [error_of_difference(one[key], other[key]) for key in one]


def _variant(measurement: Measurement) -> str:
    return "/".join(filter(None, (measurement.metric, measurement.variant)))
