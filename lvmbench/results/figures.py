"""Figures: what the columns of a board are called, which of them it shows, and which one ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lvmbench.errors import UserError, nearest
from lvmbench.suites.schema import NOTHING


@dataclass(frozen=True)
class Figure:
    """A figure that was measured: what its measurements say of it, and what its evaluator does.

    Arguments:
        name: What its column is called, unlike any other figure that was measured.
        metric: Its metric.
        variant: Which of several figures of the metric it is; empty where it is the plain one.
        method: How it was found, where that is said.
        evaluator: What measured it; empty for what records hold.
        asked_by: ``suite``, or ``evaluate`` where it was added to what the suite asks for.
        unit: Its unit.
        better: ``higher``, ``lower`` or ``neither`` is better.
        title: What it is called in print: as its metric is, or on a board unlike any other figure.
        meaning: What it is, in a sentence that goes on from its title; empty where nothing says so.
        shown: Which figure of this metric boards show; empty where nothing says so.
        place: Its place among those that boards show.
    """

    name: str
    metric: str
    variant: str = ""
    method: str = ""
    evaluator: str = ""
    asked_by: str = "suite"
    unit: str = ""
    better: str = "neither"
    title: str = ""
    meaning: str = ""
    shown: str = ""
    place: float = math.inf

    @property
    def bare(self) -> str:
        """Its name without its evaluator."""
        return self.name.partition("@")[0]

    def may_be(self, name: str) -> bool:
        """Whether it is meant by a name: its own, with or without its evaluator, or its metric or title."""
        known = (self.name, self.bare, f"{self.bare}@{self.evaluator}", self.metric)
        return name in known or name.lower() == self.title.lower()


Figures = Mapping[str, Figure]
"""Figures by name, in order of appearance."""
COSTS: Figures = {
    "train_seconds": Figure(
        "train_seconds",
        "train_seconds",
        unit="seconds",
        better="lower",
        title="Training time",
        meaning="time that training took",
        shown="train_seconds",
    ),
    "parameters": Figure(
        "parameters",
        "parameters",
        unit="parameters",
        title="Parameters",
        meaning="numbers that training can change",
    ),
}
"""What records hold."""


def figure_name(metric: str, variant: str = "", method: str = "") -> str:
    """The column name of a measurement.

    >>> figure_name("elbo"), figure_name("log_likelihood", method="exact"), figure_name("gap", "train", "ais")
    ('elbo', 'log_likelihood[exact]', 'gap[train,ais]')
    """
    inner = ",".join(part for part in (variant, method) if part)
    return f"{metric}[{inner}]" if inner else metric


def find_figure(name: str, figures: Figures) -> str:
    """Find a figure by its name, with or without its evaluator, or by its metric or its title alone.

    Raises `UserError` where there is none.

    Of several, that is the suite's own before what was added to it, then the one that boards show, the one by
    importance sampling, the first.

    >>> names = ("nmi[gmm]", "nmi[kmeans]")
    >>> figures = {n: Figure(n, "nmi", evaluator="clustering", shown="nmi[kmeans]") for n in names}
    >>> find_figure("nmi", figures), find_figure("nmi[gmm]@clustering", figures)
    ('nmi[kmeans]', 'nmi[gmm]')
    """
    own = [figure for figure in figures.values() if figure.may_be(name)]
    if not own:
        known = {*figures, *(figure.metric for figure in figures.values())}
        raise UserError(f"no metric '{name}' was measured{nearest(name, known)}")
    return _preferred(own, name)


def _preferred(figures: Iterable[Figure], asked: str = "") -> str:
    """The suite's own before what was added, then what is asked for by its name,
    and so on as `find_figure` says.
    """

    def order(it: Figure) -> tuple[bool, ...]:
        usual = it.bare == it.shown, bool(it.shown), it.method == "importance"
        return it.asked_by != "suite", it.name != asked, *(not known for known in usual)

    return min(figures, key=order).name


def ranking(metric: str | None, figures: Figures) -> str | None:
    """The figure that ranks where this metric is asked for; raises as `find_figure` does."""
    if metric == NOTHING or not figures:
        return None
    return default_metric(figures) if metric is None else find_figure(metric, figures)


def default_metric(figures: Figures) -> str | None:
    """What a board ranks by: the first figure with a direction that the suite's first evaluator shows.

    Where it gave none, that of the next one. So an evaluator that comes after the others changes nothing.
    """
    own = (it for it in figures.values() if it.asked_by == "suite" and it.better in ("higher", "lower"))
    return next(iter(usual(own)), None)


def headline(figures: Figures, metric: str | None, board: Sequence[str] | None = None) -> list[str]:
    """The figures that a printed table shows: what ranks, what was added to the suite's evaluators,
    and what the suite names, or else what its evaluators show.
    """
    own = (figure for figure in figures.values() if figure.asked_by == "suite")
    found = [find_figure(name, figures) for name in board or () if not missing([name], figures)]
    shown = usual(own) if board is None else found
    return list(dict.fromkeys([*([metric] if metric else []), *_added(figures), *shown]))


def missing(names: Sequence[str], figures: Figures) -> list[str]:
    """Those of some names that no figure has."""
    return [name for name in names if not any(figure.may_be(name) for figure in figures.values())]


def usual(figures: Iterable[Figure]) -> list[str]:
    """The figures that evaluators show unless they are told otherwise, one of each metric,
    evaluator by evaluator; the first with a direction, or else the first, of one that says nothing.
    """
    found: dict[str, str] = {}
    for own in grouped(figures, _head):
        for metric, name in _shown_by(own):
            found.setdefault(metric, name)
    return list(found.values())


def _head(figure: Figure) -> str:
    """The name of its evaluator without options."""
    return figure.evaluator.partition("[")[0]


def _shown_by(own: Sequence[Figure]) -> Iterator[tuple[str, str]]:
    """Metric and name of the figures that an evaluator shows, one of each metric."""
    shown = sorted((figure for figure in own if figure.shown), key=lambda figure: figure.place)
    for alike in grouped(shown, lambda figure: figure.metric):
        yield alike[0].metric, _preferred(alike)
    if not shown and own[0].evaluator:
        first = next((figure for figure in own if figure.better != "neither"), own[0])
        yield first.metric, first.name


def _added(figures: Figures) -> Iterator[str]:
    """One figure for each metric of an evaluator that was added to the suite's."""
    added = (figure for figure in figures.values() if figure.asked_by == "evaluate")
    return map(_preferred, grouped(added, lambda figure: (figure.evaluator, figure.metric)))


def grouped(figures: Iterable[Figure], by: Callable[[Figure], Any]) -> list[list[Figure]]:
    """Figures that are alike in something together, in order of appearance."""
    groups: dict[Any, list[Figure]] = {}
    for figure in figures:
        groups.setdefault(by(figure), []).append(figure)
    return list(groups.values())
