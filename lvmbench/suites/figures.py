"""The figures that a suite speaks of: refused before anything is trained where they will never be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from lvmbench.combinations.combination import Combination
from lvmbench.component import Metric
from lvmbench.errors import Unavailable, UserError, nearest
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref
from lvmbench.suites.claims import Pattern, fits
from lvmbench.suites.suite import Suite

ALWAYS = frozenset({"train_seconds", "parameters"})
"""What a suite may speak of whatever its evaluators: what records hold."""


class Instrument(NamedTuple):
    """What an evaluator says of its figures: its metrics, and which of them boards show."""

    metrics: Mapping[str, Metric]
    board: tuple[str, ...]


def instruments(catalogue: Catalogue, evaluators: Iterable[Ref]) -> dict[str, Instrument]:
    """What evaluators say of their figures, by name, of those that can be imported."""
    found: dict[str, Instrument] = {}
    for name in dict.fromkeys(evaluator.name for evaluator in evaluators):
        with suppress(Unavailable):
            evaluator = catalogue.entry("evaluator", name).load()
            found[name] = Instrument(dict(evaluator.metrics), tuple(evaluator.board))
    return found


def check_figures(suite: Suite, evaluators: Sequence[Ref], known: Mapping[str, Instrument]) -> None:
    """Refuse to rank by, to show or to speak of what nothing in the suite measures.

    Variants show only in results.
    """
    if any(evaluator.name not in known for evaluator in evaluators):
        return
    metrics = ALWAYS.union(*(instrument.metrics for instrument in known.values()))
    for place, what, figure in suite.figures:
        if problem := _unmeasured(figure, metrics, {str(e) for e in evaluators}):
            raise UserError(f"{place}: {what}: {problem}")


def check_references(suite: Suite, combinations: Iterable[Combination]) -> None:
    """Refuse published figures that are of no combination of the suite."""
    for place, reference in suite.references:
        if not any(_is_of(reference.of, combination) for combination in combinations):
            raise UserError(
                f"{place}: reference '{reference.source}': no combination of the suite is of "
                f"{reference.pattern}; write components as lvmbench plan shows them, * for anything"
            )


def _unmeasured(figure: str, metrics: Iterable[str], evaluators: Iterable[str]) -> str | None:
    """Why a suite cannot give a figure, named as in tables."""
    name, _, evaluator = figure.partition("@")
    metric = name.partition("[")[0]
    if metric not in metrics:
        return f"no evaluator of the suite measures '{metric}'{nearest(metric, metrics)}"
    if evaluator and evaluator not in evaluators:
        return f"the suite has no evaluator '{evaluator}'{nearest(evaluator, evaluators)}"
    return None


def _is_of(pattern: Pattern, combination: Combination) -> bool:
    return all(fits(combination.columns[name], wanted) for name, wanted in pattern.items())
