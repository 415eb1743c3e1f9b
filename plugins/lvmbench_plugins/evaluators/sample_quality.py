"""How like the data the model's samples are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Literal, final

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from lvmbench import Count, Evaluator, Measurement, Metric, Refusal, Stream, Subject, Workload, derive
from lvmbench_plugins.evaluators._common import FREEDOM, Several
from lvmbench_plugins.evaluators._labels import FEWEST, classes
from lvmbench_plugins.evaluators._two_samples import Array, manifold, median_mmd, told_apart

Features = Callable[[Tensor], Array]
_MOST = 1000
_CHUNK = 4096
_LEARNED: dict[tuple[object, ...], Features] = {}
_FEW = 8
"""So many classifiers are kept, of the data sets that came last."""


@final
class SampleQuality(Evaluator):
    r"""Samples of the model against real data, in the feature space of a classifier of the real data.

    .. math:: \mathrm{MMD}^2 = E\,k(r, r') + E\,k(g, g') - 2\,E\,k(r, g)

    with a Gaussian kernel as wide as the median distance of real points; ``two_sample_accuracy`` is the
    cross-validated accuracy of a linear classifier that tells samples from real data, one half where they
    cannot be told apart. Precision is the share of samples that lie in the real data's balls, each of which
    reaches to its k-th nearest neighbour; recall the share of real data in the samples' balls; density counts
    in how many balls a sample lies, over k; coverage is the share of real balls with a sample in them.

    Everything is held against one half of the measured split. The variant ``real`` has the other half in
    place of samples: what a perfect model would score. Features are the hidden layer of a network that was
    taught the labels of training data, with nothing downloaded; where there are no labels,
    ``features=pixels`` takes the values as they are. Halves and classifier are the same for every run on a
    data set. Samples are draws of x, binary where the data are. The error of the model's figures is over sets
    of samples, and not known where these are all alike.

    References:
        A Kernel Two-Sample Test (Gretton et al., 2012), https://jmlr.org/papers/v13/gretton12a.html;
        Revisiting Classifier Two-Sample Tests (Lopez-Paz, Oquab, 2017), https://arxiv.org/abs/1610.06545;
        Improved Precision and Recall Metric for Assessing Generative Models (Kynkaanniemi et al., 2019),
        https://arxiv.org/abs/1904.06991;
        Reliable Fidelity and Diversity Metrics for Generative Models (Naeem et al., 2020),
        https://arxiv.org/abs/2002.09797

    Arguments:
        samples: The size of each set; without it, half of the measured split but at most 1,000.
        sets: How many sets of samples to draw; fewer than five leave the error unknown.
        features: ``classifier`` or ``pixels``.
        neighbours: The number k of neighbours.
        hidden: The width of the classifier's hidden layer.
        train_data: The largest number of training data, drawn at random, that the classifier is taught on.

    Example:
        >>> sorted(SampleQuality(features="pixels").requires)
        ['dataset.complete', 'prior.fixed']
    """

    version = 3
    requires = frozenset({"dataset.labels", "dataset.complete", "prior.fixed"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "squared_mmd": Metric(
            "Squared MMD",
            "squared distance",
            "lower",
            "squared distance of samples and data; unbiased, may be below 0",
        ),
        "two_sample_accuracy": Metric(
            "Two-sample accuracy", "fraction", "lower", "accuracy of telling samples from data; at best 0.5"
        ),
        "precision": Metric("Precision", "fraction", "higher", "samples that lie among the data"),
        "recall": Metric("Recall", "fraction", "higher", "data that lie among the samples"),
        "density": Metric(
            "Density", "ratio", "higher", "how densely data surround the samples; about 1 for real data"
        ),
        "coverage": Metric("Coverage", "fraction", "higher", "neighbourhoods of data with a sample in them"),
    }
    board = ("squared_mmd", "precision", "recall")

    def __init__(
        self,
        *,
        samples: Several | None = None,
        sets: Several = 5,
        features: Literal["classifier", "pixels"] = "classifier",
        neighbours: Count = 5,
        hidden: Count = 64,
        train_data: Several = 10_000,
    ) -> None:
        self.samples, self.sets, self.features, self.neighbours = samples, sets, features, neighbours
        self.hidden, self.train_data = hidden, train_data
        if features == "pixels":
            self.requires = frozenset({"dataset.complete", "prior.fixed"})

    def evaluations(self, work: Workload) -> int:
        return self.sets * (self.samples or min(work.size // 2, _MOST))

    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        size = self._size(subject)
        features = self._learned(subject) if self.features == "classifier" else _pixels
        order = _fixed("halves").uniform((subject.size,)).argsort()[: 2 * size]
        real, rest = (features(subject.values(subject.split, half)) for half in order.split(size))
        noise = subject.noise("sample_quality")
        found = [self._compare(real, features(_draw(subject, noise, size))) for _ in range(self.sets)]
        for name in self.metrics:
            values = np.array([figures[name] for figures in found])
            yield Measurement(name, float(values.mean()), _error(values))
        for name, value in self._compare(real, rest).items():
            yield Measurement(name, value, variant="real")

    def _size(self, subject: Subject) -> int:
        """How many points each set has."""
        half = subject.size // 2
        size = self.samples or min(half, _MOST)
        if size > half:
            raise Refusal(
                f"{size} samples need twice as many data; the {subject.split} split has {subject.size}"
            )
        if size <= self.neighbours:
            raise Refusal(f"{self.neighbours} neighbours need more points than the {size} of each set")
        return size

    def _compare(self, real: Array, other: Array) -> dict[str, float]:
        apart = told_apart(real, other, derive(0, "sample_quality", "folds") % 2**32)
        figures = {"squared_mmd": median_mmd(real, other), "two_sample_accuracy": apart}
        return {**figures, **manifold(real, other, self.neighbours)}

    def _learned(self, subject: Subject) -> Features:
        """Those of a classifier, which takes longer than all else: it is taught once in a process."""
        key = (subject.data.checksum, subject.data.visit, self.hidden, self.train_data)
        if key not in _LEARNED:
            if len(_LEARNED) >= _FEW:
                del _LEARNED[next(iter(_LEARNED))]
            _LEARNED[key] = self._taught(subject)
        return _LEARNED[key]

    def _taught(self, subject: Subject) -> Features:
        """The hidden layer of a classifier of the training data."""
        labels = subject.part("train").labels
        if labels is None or classes(labels.cpu().numpy()) < FEWEST:
            raise Refusal(
                "the train split has fewer than two classes of two data or more to teach a classifier; use "
                "features=pixels"
            )
        noise = _fixed("classifier")
        chosen = noise.uniform((len(labels),)).argsort()[: self.train_data]
        values = subject.values("train", chosen).cpu()
        if subject.data.visit is not None:
            values = subject.data.visit(values, noise)
        seed = derive(0, "sample_quality", "classifier") % 2**32
        network = MLPClassifier((self.hidden,), max_iter=100, early_stopping=False, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(_pixels(values), labels[chosen].cpu().numpy())
        weight, bias = network.coefs_[0], network.intercepts_[0]
        return lambda x: np.maximum(_pixels(x) @ weight + bias, 0)


def _error(values: Array) -> float | None:
    """The standard error of the mean over sets; sets that are all alike, or few, do not tell it."""
    spread = float(values.std(ddof=1))
    return spread / math.sqrt(len(values)) if spread > 0 and len(values) > FREEDOM else None


def _fixed(purpose: str) -> Stream:
    return Stream.seeded(0, "sample_quality", purpose)


def _draw(subject: Subject, noise: Stream, size: int) -> Tensor:
    parts = torch.arange(size).split(_CHUNK)
    x = torch.cat([subject.model.generate(noise, len(part)) for part in parts])
    if not x.isfinite().all():
        raise Refusal("the model's samples are not finite")
    return x


def _pixels(x: Tensor) -> Array:
    values: Array = x.flatten(1).double().cpu().numpy()
    return values
