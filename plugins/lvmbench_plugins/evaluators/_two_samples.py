"""How alike two sets of points are, in any feature space.

Each function is symmetric work on arrays ``(N, D)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist, pdist
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lvmbench.kernels.mmd import gaussian, squared_mmd

Array = np.ndarray[Any, Any]


def median_mmd(real: Array, other: Array) -> float:
    """The unbiased estimate of the squared MMD under a Gaussian kernel as wide
    as the median distance of real points.
    """
    width = float(np.median(pdist(real))) or 1.0
    return squared_mmd(gaussian(width), torch.from_numpy(real), torch.from_numpy(other)).item()


def told_apart(real: Array, other: Array, seed: int) -> float:
    """The cross-validated accuracy of a linear classifier that tells which set a point is of."""
    points = np.concatenate([real, other])
    origin = np.repeat([0, 1], [len(real), len(other)])
    folds = StratifiedKFold(min(5, len(real), len(other)), shuffle=True, random_state=seed)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(cross_val_score(classifier, points, origin, cv=folds).mean())


def manifold(real: Array, other: Array, neighbours: int) -> Mapping[str, float]:
    """Precision, recall, density and coverage, by balls that reach
    to the k-th nearest point of their own set.
    """
    distances = cdist(real, other)
    in_real = distances <= _radii(real, neighbours)[:, None]
    in_other = distances <= _radii(other, neighbours)[None, :]
    return {
        "precision": float(in_real.any(0).mean()),
        "recall": float(in_other.any(1).mean()),
        "density": float(in_real.sum() / (neighbours * len(other))),
        "coverage": float(in_real.any(1).mean()),
    }


def _radii(points: Array, neighbours: int) -> Array:
    radii: Array = np.sort(cdist(points, points), axis=1)[:, neighbours]  # the nearest is the point itself
    return radii
