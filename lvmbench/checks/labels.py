"""Checks of what evaluators make of labels and factors."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lvmbench.checks.contract import applies, contract, require
from lvmbench.checks.evaluators import bare, first, untimed
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.subjects import measure, relabelled, subject_of
from lvmbench.errors import Refusal


@contract(
    "evaluator",
    due="Where labels are not required they may add figures, and change none.",
    read="component.Component",
)
def labels_change_nothing_else(specimen: Specimen) -> None:
    applies("dataset.labels" not in specimen.build().requires, "it requires labels")
    unnamed, named = bare(specimen), untimed(specimen, first(specimen))
    changed = [key[0] for key in unnamed if named.get(key) != unnamed[key]]
    require(
        not changed,
        f"without labels {', '.join(dict.fromkeys(changed))} differs",
        "it uses labels: declare that it requires 'dataset.labels'",
    )


NAMING = {"dataset.labels", "dataset.factors"}


def names_matter(specimen: Specimen) -> bool:
    """Whether an evaluator requires labels or factors, or has figures of labels where there are any."""
    if specimen.build().requires & NAMING:
        return True
    return bool(untimed(specimen, first(specimen)).keys() - bare(specimen).keys())


@contract(
    "evaluator",
    due="Labels, or factors, that tell nothing apart are not scored: whatever is, would be "
    "perfect for nothing.",
    read="evaluator.Evaluator",
)
def uninformative_labels_are_not_scored(specimen: Specimen) -> None:
    applies(names_matter(specimen), "labels have no part in it")
    unnamed = {} if specimen.build().requires & NAMING else bare(specimen)
    subject = subject_of(specimen)
    for what, like in (("one class", torch.zeros_like), ("a class of its own for each datum", _each_its_own)):
        try:
            found = measure(specimen, replace(subject, data=relabelled(subject.data, like)))
        except Refusal:
            continue
        added = [m for m in found if (m.metric, m.variant, m.method) not in unnamed]
        scored = [
            f"{m.metric} is {m.value:.4g}"
            for m in added
            if specimen.cls.metrics[m.metric].better != "neither"
        ]
        require(
            not scored,
            f"with {what}, {', '.join(scored[:3])}",
            "raise Refusal with the reason, or leave out what scores labels, unless two of them "
            "have two data or more",
        )


def _each_its_own(labels: Tensor) -> Tensor:
    return torch.arange(len(labels)).to(labels).reshape(-1, *[1] * (labels.dim() - 1)).expand_as(labels)
