"""Whether the latent means fall into the classes of the data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, final

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn import metrics as scores
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from lvmbench import Count, Evaluator, Measurement, Metric, Refusal, Subject, derive
from lvmbench_plugins.evaluators._common import posterior_means

Array = np.ndarray[Any, Any]


@final
class Clustering(Evaluator):
    r"""K-means clusters of the posterior means, held against the labels.

    .. math:: \mathrm{accuracy} = \max_\pi \frac1N \sum_n [y_n = \pi(c_n)]

    where :math:`\pi` gives each cluster a class of its own (the Hungarian method); where there are more
    clusters than classes, the points of a cluster without a class count as wrong. NMI divides by the
    arithmetic mean of the entropies; AMI and ARI are 0 in expectation for random clusters. The silhouette
    compares distances in latent space and needs two clusters that are not all single points; it is left out
    where the means do not have them.

    References:
        Information Theoretic Measures for Clusterings Comparison (Vinh, Epps, Bailey, 2010),
        https://jmlr.org/papers/v11/vinh10a.html;
        Comparing Partitions (Hubert, Arabie, 1985), https://doi.org/10.1007/BF01908075;
        Silhouettes (Rousseeuw, 1987), https://doi.org/10.1016/0377-0427(87)90125-7

    Arguments:
        clusters: The number of clusters; without it, the number of different labels in the measured split.
        starts: How many initialisations of k-means to take the best of.

    Example:
        >>> Clustering(clusters=10).metrics["ari"].better
        'higher'
    """

    requires = frozenset({"dataset.labels", "posterior.mean"})
    metrics: ClassVar[Mapping[str, Metric]] = {
        "nmi": Metric("fraction", "higher", "normalised mutual information of clusters and labels"),
        "ami": Metric("fraction", "higher", "mutual information of clusters and labels, adjusted for chance"),
        "ari": Metric("fraction", "higher", "Rand index of clusters and labels, adjusted for chance"),
        "cluster_accuracy": Metric(
            "fraction", "higher", "accuracy under the best matching of clusters to labels"
        ),
        "silhouette": Metric(
            "fraction", "higher", "separation of the clusters in latent space, from -1 to 1"
        ),
    }

    def __init__(self, *, clusters: Count | None = None, starts: Count = 10) -> None:
        self.clusters, self.starts = clusters, starts

    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        if subject.labels is None:
            raise Refusal(f"the {subject.split} split has no labels")
        z, labels = posterior_means(subject, subject.x).numpy(), subject.labels.cpu().numpy()
        found = self._fit(subject, z, self.clusters or len(np.unique(labels)))
        yield Measurement("nmi", float(scores.normalized_mutual_info_score(labels, found)))
        yield Measurement("ami", float(scores.adjusted_mutual_info_score(labels, found)))
        yield Measurement("ari", float(scores.adjusted_rand_score(labels, found)))
        yield _average("cluster_accuracy", _matched(labels, found))
        if 2 <= len(np.unique(found)) < len(z):
            yield _average("silhouette", scores.silhouette_samples(z, found))

    def _fit(self, subject: Subject, z: Array, clusters: int) -> Array:
        """The cluster of each point, ``(N,)``."""
        if clusters > len(z):
            raise Refusal(f"{clusters} clusters need as many points; the {subject.split} split has {len(z)}")
        seed = derive(subject.seed, "evaluate", "clustering") % 2**32
        kmeans = KMeans(clusters, n_init=self.starts, random_state=seed)
        with warnings.catch_warnings():
            # fewer different points than clusters, as after a collapse: the scores say so
            warnings.simplefilter("ignore", ConvergenceWarning)
            found: Array = kmeans.fit_predict(z)
        return found


def _matched(labels: Array, found: Array) -> Array:
    """Whether each point's cluster is matched to its label, ``(N,)``."""
    _, label = np.unique(labels, return_inverse=True)
    _, cluster = np.unique(found, return_inverse=True)
    counts = np.zeros((label.max() + 1, cluster.max() + 1), dtype=np.int64)
    np.add.at(counts, (label, cluster), 1)
    class_of = np.full(counts.shape[1], -1)
    rows, columns = linear_sum_assignment(-counts)
    class_of[columns] = rows
    matched: Array = class_of[cluster] == label
    return matched


def _average(metric: str, values: Array) -> Measurement:
    return Measurement(metric, float(values.mean()), per_datum=torch.from_numpy(values.astype(np.float64)))
