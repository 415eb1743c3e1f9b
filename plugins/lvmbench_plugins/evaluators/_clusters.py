"""Ways to find clusters, each from several random starts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

Array = np.ndarray[Any, Any]


class Clusters(NamedTuple):
    """The cluster of each point, ``(N,)``, and the loss of the method, which is lowest for its best start."""

    found: Array
    loss: float


def _kmeans(z: Array, clusters: int, seed: int) -> Clusters:
    fitted = KMeans(clusters, n_init=1, random_state=seed).fit(z)
    return Clusters(fitted.labels_, float(fitted.inertia_))


def _mixture(covariance: str) -> Callable[[Array, int, int], Clusters]:
    def fit(z: Array, clusters: int, seed: int) -> Clusters:
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
    spread = z.std() or 1.0  # the mixtures add an absolute number to their variances
    with warnings.catch_warnings():
        # fewer different points than clusters, as after a collapse: the scores say so
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [METHODS[method]((z - z.mean(0)) / spread, clusters, seed) for seed in seeds]
