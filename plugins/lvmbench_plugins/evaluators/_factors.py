"""How the true factors are spread over the coordinates of a code: MIG, DCI and SAP."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from sklearn.ensemble import RandomForestClassifier

Array = np.ndarray[Any, Any]


class Code(NamedTuple):
    """Codes, ``(N, D)``, with the factors they stand for, ``(N, F)``."""

    z: Array
    factors: Array


class Dci(NamedTuple):
    """Disentanglement; completeness and informativeness of each factor, ``(F,)``."""

    disentanglement: float
    completeness: Array
    informativeness: Array


def mig(code: Code, bins: int) -> Array:
    """The mutual information gap of each factor, ``(F,)``, with each coordinate in bins of equal width."""
    binned = [_binned(column, bins) for column in code.z.T]
    table = np.array([[_information(z, factor) for z in binned] for factor in code.factors.T])
    found: Array = _gap(table) / np.array([_information(factor, factor) for factor in code.factors.T])
    return found


def sap(taught: Code, held: Code) -> Array:
    """The separated attribute predictability of each factor, ``(F,)``."""
    pairs = zip(taught.factors.T, held.factors.T, strict=True)
    return _gap(np.array([_nearest_mean_scores(taught.z, y, held.z, truth) for y, truth in pairs]))


def dci(taught: Code, held: Code, trees: int, seed: int) -> Dci:
    """The scores of Eastwood and Williams, with importances and accuracies of random forests."""
    importances, accuracies = [], []
    for y, truth in zip(taught.factors.T, held.factors.T, strict=True):
        forest = RandomForestClassifier(trees, max_features=None, random_state=seed).fit(taught.z, y)
        importances.append(forest.feature_importances_)
        accuracies.append(forest.score(held.z, truth))
    relevance = np.array(importances).T  # (D, F)
    weights = relevance.sum(1) / max(relevance.sum(), np.finfo(float).tiny)
    return Dci(float(weights @ _concentration(relevance)), _concentration(relevance.T), np.array(accuracies))


def _binned(values: Array, bins: int) -> Array:
    low, high = values.min(), values.max()
    width = (high - low) / bins
    if width == 0:
        return np.zeros(len(values), dtype=int)
    found: Array = np.minimum(((values - low) / width).astype(int), bins - 1)
    return found


def _information(a: Array, b: Array) -> float:
    """The mutual information, in nats, of two columns of categories; of one with itself, its entropy."""
    counts = stats.contingency.crosstab(a, b).count
    joint = counts / counts.sum()
    expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / expected[seen])).sum())


def _gap(table: Array) -> Array:
    """The largest of each row of ``(F, D)`` less the second largest, which is 0 where there is one alone."""
    ordered = np.sort(np.pad(table, ((0, 0), (1, 0))), axis=1)
    found: Array = ordered[:, -1] - ordered[:, -2]
    return found


def _nearest_mean_scores(z: Array, y: Array, held: Array, truth: Array) -> Array:
    """The balanced accuracy of the nearest class mean on each coordinate alone, ``(D,)``."""
    kinds = np.unique(y)
    means = np.array([z[y == kind].mean(0) for kind in kinds])  # (V, D)
    found = kinds[np.abs(held[:, None, :] - means).argmin(1)]  # (N, D)
    right = [(found[truth == kind] == kind).mean(0) for kind in np.unique(truth)]
    scores: Array = np.mean(right, axis=0)
    return scores


def _concentration(relevance: Array) -> Array:
    """One minus the entropy of each row in units of that of the uniform.

    0 for a row of zeros, 1 for single columns.
    """
    columns = relevance.shape[1]
    total = relevance.sum(1, keepdims=True)
    shares = np.where(total > 0, relevance / np.maximum(total, np.finfo(float).tiny), 1 / columns)
    found: Array = 1 - stats.entropy(shares, axis=1) / np.log(max(columns, 2))
    return found
