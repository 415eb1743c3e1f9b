"""Checks of evaluators: a small untrained run is measured, under several lights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from lvmbench.checks.contract import applies, contract, require
from lvmbench.checks.partners import Case
from lvmbench.checks.partnership import blame, trouble
from lvmbench.checks.search import Capabilities
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.statistics import limit, require_average
from lvmbench.checks.subjects import measure, subject_of, watched
from lvmbench.checks.truths import DRAWS, TRUTHS
from lvmbench.combinations.requirements import capabilities
from lvmbench.errors import Refusal
from lvmbench.evaluator import Measurement
from lvmbench.registry.names import Ref

READ = "evaluator.Evaluator"
REPEATS = 12
ROWS = 8
"""So many rows of a split are tried first where all that matters is whether a combination can be measured."""
OF_MEASUREMENTS = (
    "measurements_are_finite",
    "fractions_are_fractions",
    "per_datum_averages_to_the_value",
    "shared_metrics_are_what_they_say",
)
"""The checks that an evaluator fails, too, where its measurements are not of declared metrics."""
Key = tuple[str, str, str]


def first(specimen: Specimen) -> list[Measurement]:
    """The measurements of the first combination."""
    return watched(specimen).found


def _values(found: list[Measurement]) -> dict[Key, float]:
    return {(m.metric, m.variant, m.method): m.value for m in found}


def bare(specimen: Specimen) -> dict[Key, float]:
    """The values where labels are not known, found once."""
    if "bare" not in specimen.memory:
        found = measure(specimen, subject_of(specimen, labels=False))
        specimen.memory["bare"] = untimed(specimen, found)
    bare: dict[Key, float] = specimen.memory["bare"]
    return bare


def untimed(specimen: Specimen, found: list[Measurement]) -> dict[Key, float]:
    """The values that the clock has no part in."""
    return {key: value for key, value in _values(found).items() if not specimen.cls.metrics[key[0]].timed}


@contract(
    "evaluator",
    due="Every measurement is of a declared metric, and there is at least one.",
    read=READ,
    explains=OF_MEASUREMENTS,
)
def measurements_are_declared(specimen: Specimen) -> None:
    found = first(specimen)
    require(bool(found), "it measured nothing")
    for m in found:
        require(m.metric in specimen.cls.metrics, f"'{m.metric}' is not in metrics", "declare it as a Metric")
    twice = [key for key in _values(found) if [(m.metric, m.variant, m.method) for m in found].count(key) > 1]
    require(not twice, f"{twice[:1]} is measured twice", "tell them apart by variant or method")


@contract(
    "evaluator",
    due="Values are finite numbers, standard errors finite and not negative.",
    read="evaluator.Measurement",
)
def measurements_are_finite(specimen: Specimen) -> None:
    for m in first(specimen):
        require(
            isinstance(m.value, float) and math.isfinite(m.value),
            f"{m.metric} is {m.value!r}",
            "raise Refusal with the reason where it is not defined",
        )
        known = m.stderr is None or (isinstance(m.stderr, float) and 0 <= m.stderr < math.inf)
        require(known, f"the standard error of {m.metric} is {m.stderr!r}")


@contract("evaluator", due="A figure in fractions is between -1 and 1.", read="evaluator.Metric")
def fractions_are_fractions(specimen: Specimen) -> None:
    found = [m for m in first(specimen) if specimen.cls.metrics[m.metric].unit == "fraction"]
    applies(bool(found), "it has no metric in fractions")
    for m in found:
        require(
            abs(m.value) <= 1, f"{m.metric} is {m.value:.4g}", "a fraction is not a percentage or a count"
        )


@contract(
    "evaluator",
    due="per_datum has one figure per datum of the split, and their mean is the value.",
    read="evaluator.Measurement",
)
def per_datum_averages_to_the_value(specimen: Specimen) -> None:
    found = [m for m in first(specimen) if m.per_datum is not None]
    applies(bool(found), "no measurement has per_datum")
    count = len(subject_of(specimen).x)
    for m in found:
        assert m.per_datum is not None
        shape = tuple(m.per_datum.shape)
        require(shape == (count,), f"per_datum of {m.metric} has shape {shape} where ({count},) is due")
        mean = m.per_datum.double().mean().item()
        require(
            math.isclose(mean, m.value, rel_tol=1e-4, abs_tol=1e-5),
            f"the mean of per_datum of {m.metric} is {mean:.6g}, its value is {m.value:.6g}",
            "a figure per datum is a mean over data, not a sum",
        )


@contract(
    "evaluator",
    due="The same run gives the same measurements.",
    read="evaluator.Subject.noise",
    explains=("labels_change_nothing_else",),
)
def measurements_are_repeatable(specimen: Specimen) -> None:
    again = untimed(specimen, measure(specimen, subject_of(specimen)))
    once = untimed(specimen, first(specimen))
    moved = [key for key in once if again.get(key) != once[key]]
    require(
        not moved and once.keys() == again.keys(),
        f"{moved[:3] or 'the list'} differs the second time",
        "draw from subject.noise(...)",
    )


@contract(
    "evaluator",
    due="All randomness comes from subject.noise.",
    read="evaluator.Subject.noise",
    explains=("measurements_are_repeatable", "labels_change_nothing_else"),
)
def evaluation_leaves_global_generators_alone(specimen: Specimen) -> None:
    used = watched(specimen).generators
    require(
        not used, f"the global generator of {' and '.join(used)} was used", "draw from subject.noise(...)"
    )


@contract(
    "evaluator",
    due="Weights, gradients and mode of the model, and the data, are left as they were.",
    read="evaluator.Subject",
    explains=(
        "measurements_are_repeatable",
        "labels_change_nothing_else",
        "shared_metrics_are_what_they_say",
    ),
)
def subject_is_left_alone(specimen: Specimen) -> None:
    changed = watched(specimen).changed
    require(not changed, f"the {' and the '.join(changed)} changed", "work on a copy")


def tried_before(specimen: Specimen) -> bool:
    """Whether another choice of an evaluator's options, with the same requirements, was tried before."""
    needs = specimen.build().requires
    return any(specimen.bench.requires(specimen.kind, ref) == needs for ref in specimen.before)


@contract(
    "evaluator",
    due="It measures every combination in the catalogue that meets its declared requirements.",
    read="component.Component",
)
def measures_every_combination(specimen: Specimen) -> None:
    needs = frozenset(specimen.build().requires)
    applies(
        not tried_before(specimen), "another choice of its options, with the same requirements, was tried"
    )
    together = [_tried(specimen, str(case), case) for case in specimen.bench.covering(None, needs, _name)]
    met = {what for _, case, error in together if error is None for what in _contents(case)}
    tried = [*_by_themselves(specimen, needs, met), *together]
    works = [case for _, case, error in tried if error is None]
    broken = [(name, case, error) for name, case, error in tried if error and not _refused(error)]
    applies(bool(works or broken), "no combination in the catalogue meets its requirements")
    if broken:
        failures = [(name, error, _provided(case)) for name, case, error in broken]
        raise blame(failures, [_provided(case) for case in works])


Tried = tuple[str, Case, Exception | None]
"""A combination by the name of what it is for, and what measuring it raised."""


def _by_themselves(specimen: Specimen, needs: Capabilities, met: set[object]) -> Iterator[Tried]:
    """The first combination with each partner that is in none of those measured so far.

    Where nothing works, one failure tells as much as all.
    """
    hopeless = not met
    # one choice of each component's options is enough, and one combination may stand for several
    for name, partner, case in specimen.bench.partners({}, needs, met):
        if case not in met:
            yield (tried := _tried(specimen, name, case))
            hopeless = hopeless and tried[2] is not None
            if hopeless and not _refused(tried[2]):
                return
        met |= {case, *((kind, ref.name) for kind, ref in partner.items())} if partner else {case, name}


def _refused(error: Exception | None) -> bool:
    return isinstance(error, Refusal)


def _contents(case: Case) -> set[object]:
    return {case.source.name, *((kind, ref.name) for kind, ref in case.refs.items())}


def _name(ref: Ref) -> str:
    return ref.name


def _tried(specimen: Specimen, name: str, case: Case) -> Tried:
    """A combination is measured on a few rows, or on all where it refuses so few.

    What cannot be trained either is not the evaluator's fault.
    """
    try:
        try:
            measure(specimen, subject_of(specimen, case, rows=ROWS))
        except Refusal:
            measure(specimen, subject_of(specimen, case))
    except Exception as error:
        return name, case, Refusal("it cannot be trained") if trouble(case) else error
    return name, case, None


def _provided(case: Case) -> Capabilities:
    return capabilities(case.source.data, case.parts(), measured=True)


@contract(
    "evaluator",
    due="Metrics of shared names are what their names say, in nats per datum with their sign.",
    read="evaluator.Metric",
)
def shared_metrics_are_what_they_say(specimen: Specimen) -> None:
    """On average over evaluations under other seeds, whose spread is seen.

    What an evaluator states of few draws is not relied on.
    """
    found = [(m.metric, m.method) for m in first(specimen) if m.metric in TRUTHS and not m.variant]
    applies(bool(found), f"it has none of {', '.join(TRUTHS)}")
    subject = subject_of(specimen)
    runs = [measure(specimen, replace(subject, seed=seed)) for seed in range(REPEATS)]
    for metric, method in found:
        truth, error = TRUTHS[metric](subject)
        require_average(
            torch.tensor([_values(run)[metric, "", method] for run in runs]),
            truth,
            metric,
            "it is a mean over data of nats per datum, higher densities being better: look for a "
            "sign, sum or factor",
            slack=0.02 + limit(DRAWS, 1) * error,
        )
