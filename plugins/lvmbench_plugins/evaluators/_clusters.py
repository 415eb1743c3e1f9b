"""Ways to find clusters, each from several random starts.

scikit-learn takes a second to import: that is when clusters are wanted, not when an evaluator is described.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

Array = np.ndarray[Any, Any]


class Clusters(NamedTuple):
    """The cluster of each point, ``(N,)``, and the loss of the method, which is lowest for its best start."""

    found: Array
    loss: float


def _kmeans(z: Array, clusters: int, seed: int) -> Clusters:
    from sklearn.cluster import KMeans

    fitted = KMeans(clusters, n_init=1, random_state=seed).fit(z)
    return Clusters(fitted.labels_, float(fitted.inertia_))


def _mixture(covariance: str) -> Callable[[Array, int, int], Clusters]:
    def fit(z: Array, clusters: int, seed: int) -> Clusters:
        from sklearn.mixture import GaussianMixture

        model = GaussianMixture(clusters, covariance_type=covariance, random_state=seed)
        return Clusters(model.fit_predict(z), -float(model.lower_bound_))

    return fit


METHODS: Mapping[str, Callable[[Array, int, int], Clusters]] = {
    "kmeans": _kmeans,
    "gmm_diagonal": _mixture("diag"),
    "gmm_full": _mixture("full"),
}


def starts(method: str, z: Array, clusters: int, seeds: list[int]) -> list[Clusters]:
    """The clusters of each start."""
    from sklearn.exceptions import ConvergenceWarning

    spread = z.std() or 1.0  # the mixtures add an absolute number to their variances
    with warnings.catch_warnings():
        # fewer different points than clusters, as after a collapse: the scores say so
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [METHODS[method]((z - z.mean(0)) / spread, clusters, seed) for seed in seeds]


def silhouettes(z: Array, found: Array, rows: Array) -> Array:
    r"""The silhouette of some points, by their numbers ``(M,)``, each compared with all points ``(N, D)``.

    .. math:: s_i = \frac{b_i - a_i}{\max(a_i, b_i)}

    where :math:`a_i` is the mean distance from the other points of its cluster and :math:`b_i` the least of
    those from another cluster; 0 for a cluster's only point.
    """
    _, cluster, counts = np.unique(found, return_inverse=True, return_counts=True)
    own, members = cluster[rows], np.eye(len(counts))[cluster]
    # some hundred points at once: their distances from all others are millions of numbers
    parts = np.array_split(rows, -(-len(rows) // 256))
    total = np.concatenate([cdist(z[part], z) @ members for part in parts])
    here = np.arange(len(rows)), own
    inside = total[here] / np.maximum(counts[own] - 1, 1)
    total[here] = np.inf
    outside = (total / counts).min(1)
    furthest = np.maximum(inside, outside)
    apart: Array = np.where((counts[own] > 1) & (furthest > 0), outside - inside, 0.0)
    return apart / np.where(furthest > 0, furthest, 1.0)
