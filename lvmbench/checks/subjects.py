"""What evaluators are given to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lvmbench.checks.partners import Case
from lvmbench.checks.sources import shortened
from lvmbench.checks.specimen import Specimen
from lvmbench.combinations.requirements import applicable_estimators, capabilities
from lvmbench.dataset import Data
from lvmbench.evaluator import Measurement, Subject
from lvmbench.split import Split


def case_of(specimen: Specimen) -> Case:
    """The first combination that meets an evaluator's requirements."""
    requires = frozenset(specimen.build().requires)
    return specimen._found(specimen.bench.find({}, requires), requires)


def subject_of(
    specimen: Specimen, case: Case | None = None, *, labels: bool = True, rows: int | None = None
) -> Subject:
    """A run of a combination for an evaluator to measure, with or without labels.

    On its first rows where told how many.
    """
    case = case or case_of(specimen)
    parts = case.parts()
    data = shortened(case.source.data, rows)
    data = data if labels else without_labels(data)
    provided = capabilities(data, parts, measured=True)
    estimators = applicable_estimators(
        specimen.bench.catalogue, parts, case.source.data, provided, case.refs["estimator"]
    )
    # as runs are measured: what a part changes of its state, it changes while training
    parts.ready(torch.device("cpu"))
    return Subject(parts.model, parts.objective, estimators, data, seed=0, provides=provided)


def without_labels(data: Data) -> Data:
    """The same data, its labels not known."""
    return replace(data, splits={name: replace(s, labels=None) for name, s in data.splits.items()})


def relabelled(data: Data, like: Callable[[Tensor], Tensor]) -> Data:
    """The same data with other labels and factors in place of those that are known."""

    def other(split: Split) -> Split:
        labels, factors = (None if known is None else like(known) for known in (split.labels, split.factors))
        return replace(split, labels=labels, factors=factors)

    return replace(data, splits={name: other(split) for name, split in data.splits.items()})


def measure(specimen: Specimen, subject: Subject) -> list[Measurement]:
    """The measurements of a fresh evaluator."""
    return list(specimen.build().evaluate(subject))
