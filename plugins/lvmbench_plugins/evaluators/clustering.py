"""Whether the latent means fall into the classes of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, NamedTuple, final

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lvmbench import Count, Evaluator, Measurement, Metric, Refusal, Subject, Workload, derive
from lvmbench_plugins.evaluators._clusters import METHODS, Array, silhouettes, starts
from lvmbench_plugins.evaluators._common import Several, chosen, known, posterior_means, standard_error
from lvmbench_plugins.evaluators._labels import FEWEST, classes

_SHUFFLES = 20


@final
class Clustering(Evaluator):
    r"""Clusters of the posterior means, held against the labels.

    .. math:: \mathrm{accuracy} = \max_\pi \frac1N \sum_n [y_n = \pi(c_n)]

    where :math:`\pi` gives each cluster a class of its own (the Hungarian method); where there are more
    clusters than classes, the points of a cluster without a class count as wrong. NMI divides by the
    arithmetic mean of the entropies; AMI and ARI are 0 in expectation for random clusters. The silhouette
    compares distances in latent space and needs two clusters that are not all single points; it is left out
    where the means do not have them. Of a large split it is the mean over some points, each compared with
    all. The many-to-one accuracy gives each cluster its most frequent label and so rises with the number of
    clusters; it is no match for the accuracy.

    Agreement with labels that tell nothing apart is perfect for nothing, and is refused: the measured split
    needs at least two classes of two data or more. NMI and both accuracies are not adjusted for chance: with
    many classes, or one that most data belong to, clusters that know nothing score high. ``chance`` is what
    these scores are on average where the labels are shuffled among the data.

    The methods are ``kmeans``, mixtures of normals with independent coordinates (``gmm_diagonal``) or with
    any covariance (``gmm_full``), and, for a prior of several components, its own (``prior``), each mean
    going to the likeliest. The scores are those of the start with the method's own lowest loss;
    ``start_spread`` is the standard deviation of each score over the starts.

    References:
        Information Theoretic Measures for Clusterings Comparison (Vinh, Epps, Bailey, 2010),
        https://jmlr.org/papers/v11/vinh10a.html;
        Comparing Partitions (Hubert, Arabie, 1985), https://doi.org/10.1007/BF01908075;
        Silhouettes (Rousseeuw, 1987), https://doi.org/10.1016/0377-0427(87)90125-7

    Arguments:
        clusters: The number of clusters of k-means and mixtures; without it, the number of different labels
            in the measured split.
        starts: How many random initialisations of each method to take the best of.
        compared: How many points, drawn at random, the silhouette is the mean over at most.

    Example:
        >>> Clustering(clusters=10).metrics["ari"].better
        'higher'
    """

    version = 4
    requires = frozenset({"dataset.labels", "posterior.mean", "prior.fixed"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "nmi": Metric("NMI", "fraction", "higher", "normalised mutual information of clusters and labels"),
        "ami": Metric(
            "AMI", "fraction", "higher", "mutual information of clusters and labels, adjusted for chance"
        ),
        "ari": Metric("ARI", "fraction", "higher", "Rand index of clusters and labels, adjusted for chance"),
        "cluster_accuracy": Metric(
            "Cluster accuracy", "fraction", "higher", "accuracy under the best matching of clusters to labels"
        ),
        "many_to_one_accuracy": Metric(
            "Many-to-one accuracy",
            "fraction",
            "higher",
            "accuracy when each cluster stands for its most frequent label",
        ),
        "chance": Metric(
            "Chance level", "fraction", "neither", "a score with the labels shuffled among the data"
        ),
        "start_spread": Metric(
            "Spread over starts", "fraction", "lower", "standard deviation of a score over random starts"
        ),
        "silhouette": Metric(
            "Silhouette", "fraction", "higher", "separation of the clusters in latent space, from -1 to 1"
        ),
    }
    board = ("nmi[kmeans]", "cluster_accuracy[kmeans]")

    def __init__(self, *, clusters: Count | None = None, starts: Count = 3, compared: Several = 1000) -> None:
        self.clusters, self.starts, self.compared = clusters, starts, compared

    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        labels = _labels(subject)
        z = posterior_means(subject, subject.x)
        clusters = self.clusters or len(np.unique(labels))
        if clusters >= len(z):
            raise Refusal(
                f"{clusters} clusters need more points than that; the {subject.split} split has {len(z)}"
            )
        shuffled, compared = _shuffled(subject, labels), self._compared(subject, len(z))
        seeds = [
            derive(subject.seed, "evaluate", "clustering", start) % 2**32 for start in range(self.starts)
        ]
        for method in METHODS:
            fits = starts(method, z.numpy(), clusters, seeds)
            found = min(fits, key=lambda fit: fit.loss).found
            yield from _scores(method, z.numpy(), labels, found, compared)
            yield from _chance(method, shuffled, found)
            yield from _spread(method, labels, [fit.found for fit in fits])
        if "prior.components" in subject.provides:
            found = _assigned(subject, z)
            yield from _scores("prior", z.numpy(), labels, found, compared)
            yield from _chance("prior", shuffled, found)

    def evaluations(self, work: Workload) -> int:
        return 0

    def fits(self, work: Workload) -> int:
        return self.starts * len(METHODS) * work.size

    def _compared(self, subject: Subject, count: int) -> Array:
        """The points, by their numbers, that the silhouette is the mean over."""
        order = subject.noise("clustering", "compared").uniform((count,)).argsort().cpu().numpy()
        rows: Array = np.arange(count) if count <= self.compared else order[: self.compared]
        return rows


def _labels(subject: Subject) -> Array:
    """The labels of the measured split, ``(N,)``; a `Refusal` where they tell nothing apart."""
    if subject.labels is None:
        raise Refusal(f"the {subject.split} split has no labels")
    labels: Array = subject.labels.cpu().numpy()
    if (found := classes(labels)) < FEWEST:
        raise Refusal(
            f"agreement with labels needs two classes of two data or more; the {subject.split} split has "
            f"{found}, with {len(np.unique(labels))} different labels of {len(labels)} data: measure a "
            "larger split, or other labels"
        )
    return labels


def _shuffled(subject: Subject, labels: Array) -> list[Array]:
    """The labels in random orders."""
    noise = subject.noise("clustering", "chance")
    orders = noise.uniform((_SHUFFLES, len(labels))).argsort(1).cpu().numpy()
    return [labels[order] for order in orders]


@torch.no_grad()
def _assigned(subject: Subject, z: Tensor) -> Array:
    """The likeliest component of the prior for each point, ``(N,)``."""
    values = z.unflatten(1, subject.model.prior.space.event_shape).to(subject.x)
    found: Array = subject.model.p().assign(values).argmax(-1).cpu().numpy()
    return found


class _Table(NamedTuple):
    """The label and the cluster of each point by number, ``(N,)``; how many points have both, ``(L, C)``."""

    label: Array
    cluster: Array
    counts: Array

    @classmethod
    def of(cls, labels: Array, found: Array) -> _Table:
        label, cluster = (np.unique(each, return_inverse=True)[1] for each in (labels, found))
        shape = label.max() + 1, cluster.max() + 1
        counts = np.bincount(label * shape[1] + cluster, minlength=shape[0] * shape[1])
        return cls(label, cluster, counts.reshape(shape))


def _scores(method: str, z: Array, labels: Array, found: Array, compared: Array) -> Iterator[Measurement]:
    table = _Table.of(labels, found)
    for name, score in AGREEMENT.items():
        yield _measurement(name, method, score(table))
    if 2 <= table.counts.shape[1] < len(z):
        each = silhouettes(z, found, compared)
        yield (
            _measurement("silhouette", method, each)
            if len(each) == len(z)
            else _estimated("silhouette", method, each, len(z))
        )


def _chance(method: str, shuffled: list[Array], found: Array) -> Iterator[Measurement]:
    """What each score that is not adjusted for chance is with shuffled labels, on average."""
    tables = [_Table.of(labels, found) for labels in shuffled]
    for name in UNADJUSTED:
        values = [float(np.mean(AGREEMENT[name](table))) for table in tables]
        error = float(np.std(values, ddof=1)) / len(values) ** 0.5
        yield Measurement("chance", float(np.mean(values)), error, variant=name, method=method)


def _spread(method: str, labels: Array, found: list[Array]) -> Iterator[Measurement]:
    """The standard deviation of each score over the starts."""
    if len(found) < 2:
        return
    tables = [_Table.of(labels, each) for each in found]
    for name, score in AGREEMENT.items():
        values = [float(np.mean(score(table))) for table in tables]
        yield Measurement("start_spread", float(np.std(values, ddof=1)), variant=name, method=method)


def _measurement(metric: str, method: str, value: float | Array) -> Measurement:
    """A score of all points, or the mean of one of each point."""
    if isinstance(value, np.ndarray):
        each = torch.from_numpy(value.astype(np.float64))
        return Measurement(metric, each.mean().item(), method=method, per_datum=each)
    return Measurement(metric, float(value), method=method)


def _estimated(metric: str, method: str, value: Array, count: int) -> Measurement:
    """The mean over so many points of a score that is known of some, drawn at random."""
    figure = chosen(known(torch.from_numpy(value)), count)
    return Measurement(metric, float(value.mean()), standard_error(figure), method=method)


def _score(name: str) -> Callable[[_Table], float]:
    """A score of scikit-learn, which is imported when it is wanted."""

    def score(table: _Table) -> float:
        from sklearn import metrics

        return float(getattr(metrics, name)(table.label, table.cluster))

    return score


def _matched(table: _Table) -> Array:
    """Whether each point's cluster is matched to its label, ``(N,)``."""
    class_of = np.full(table.counts.shape[1], -1)
    rows, columns = linear_sum_assignment(-table.counts)
    class_of[columns] = rows
    matched: Array = class_of[table.cluster] == table.label
    return matched


def _in_majority(table: _Table) -> Array:
    """Whether each point's label is the most frequent of its cluster, ``(N,)``."""
    right: Array = table.counts.argmax(0)[table.cluster] == table.label
    return right


AGREEMENT: Mapping[str, Callable[[_Table], float | Array]] = {
    "nmi": _score("normalized_mutual_info_score"),
    "ami": _score("adjusted_mutual_info_score"),
    "ari": _score("adjusted_rand_score"),
    "cluster_accuracy": _matched,
    "many_to_one_accuracy": _in_majority,
}
"""The scores of clusters against labels, of all points or of each."""
UNADJUSTED = ("nmi", "cluster_accuracy", "many_to_one_accuracy")
"""Those that clusters without any knowledge may have much of."""
