"""What evaluators are given to measure, and what they do to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lvmbench.checks.partners import Case
from lvmbench.checks.sources import shortened
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.steps import global_state
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


class Watched(NamedTuple):
    """Measurements, and what else making them has changed: global generators, and what of the subject."""

    found: list[Measurement]
    generators: list[str]
    changed: list[str]


def watched(specimen: Specimen) -> Watched:
    """The measurements of the first combination, made once."""
    if "watched" not in specimen.memory:
        specimen.memory["watched"] = _watch(specimen, subject_of(specimen))
    made: Watched = specimen.memory["watched"]
    return made


def _watch(specimen: Specimen, subject: Subject) -> Watched:
    whole, state = global_state(), _state(subject)
    found = measure(specimen, subject)
    generators = [name for name, after in global_state().items() if after != whole[name]]
    changed = [what for what, after in _state(subject).items() if after != state[what]]
    return Watched(found, generators, changed)


def _state(subject: Subject) -> dict[str, Any]:
    modules = {"model": subject.model, "objective": subject.objective, **dict(subject.estimators)}
    named = [(f"{k}.{n}", w) for k, m in modules.items() for n, w in m.named_parameters()]
    everything = [t for m in modules.values() for t in m.state_dict().values()]
    # not by their checksum, which is found once
    tensors = [t for s in subject.data.splits.values() for t in (s.x, s.labels, s.factors, s.whole)]
    return {
        "weights": [_digest(tensor) for tensor in everything],
        "gradients": [None if w.grad is None else _digest(w.grad) for _, w in named],
        "requires_grad of weights": [w.requires_grad for _, w in named],
        "mode of modules (training or evaluation)": [
            m.training for s in modules.values() for m in s.modules()
        ],
        "data": [_digest(tensor) for tensor in tensors if tensor is not None],
    }


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
