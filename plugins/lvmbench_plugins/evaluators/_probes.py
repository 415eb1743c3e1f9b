"""Classifiers that read labels from latent vectors, their strength chosen by cross-validation.

scikit-learn takes a second to import: that is when labels are read, not when an evaluator is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Array = np.ndarray[Any, Any]

_FOLDS = 3


class Probe(NamedTuple):
    """A classifier, and the values that its strength is chosen from.

    The last is taken where none can be chosen.
    """

    classifier: Pipeline
    option: str
    strengths: tuple[float, ...]


def _probes(count: int) -> Mapping[str, Probe]:
    """The probes that so many data can teach."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-3))
    neighbours = tuple(k for k in (30, 10, 3, 1) if k <= count) or (1,)
    return {
        "linear": Probe(linear, "logisticregression__C", (0.01, 100.0, 1.0)),
        "knn": Probe(make_pipeline(KNeighborsClassifier()), "kneighborsclassifier__n_neighbors", neighbours),
    }


def taught(z: Array, labels: Array) -> dict[str, tuple[Pipeline, float]]:
    """Each probe, fitted with its best strength, and the strength."""
    folds = min(_FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    return {name: _fit(probe, z, labels, folds) for name, probe in _probes(len(z) // 2).items()}


def _fit(probe: Probe, z: Array, labels: Array, folds: int) -> tuple[Pipeline, float]:
    if folds < 2:  # a label of a single datum cannot be in both parts
        return probe.classifier.set_params(**{probe.option: probe.strengths[-1]}).fit(
            z, labels
        ), probe.strengths[-1]
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    search = GridSearchCV(
        probe.classifier, {probe.option: sorted(probe.strengths)}, cv=StratifiedKFold(folds)
    )
    search.fit(z, labels)
    return search.best_estimator_, float(search.best_params_[probe.option])
