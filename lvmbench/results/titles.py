"""What figures are called in print: their titles, with what tells two apart that would be confused."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import pandas as pd

from lvmbench.registry.names import Ref

_TELLING = ("method", "evaluator", "metric")


def titles(figures: pd.DataFrame, measured: pd.DataFrame) -> dict[str, str]:
    """The title of each figure, by its name, with what tells it from others that it would be confused with.

    A variant is another quantity and is named where several were measured, shown or not. A method, and the
    settings of an evaluator, are other ways to the same quantity and are named where several are shown.

    Arguments:
        figures: Those that are shown, by name, with ``title, variant, method, evaluator, metric``, as
            `figure_table` gives them.
        measured: All that were measured.

    >>> names = {"title": "ELBO", "metric": "elbo", "method": ""}
    >>> variants = [("", "tightness"), ("", "tightness[samples=5]"), ("per_step", "tightness")]
    >>> figures = pd.DataFrame([{**names, "variant": v, "evaluator": e} for v, e in variants])
    >>> list(titles(figures, figures).values()), titles(figures[2:], figures)
    (['ELBO, tightness', 'ELBO, samples=5', 'ELBO, per step'], {'2': 'ELBO, per step'})
    """
    several = measured.groupby("title")["variant"].nunique() > 1
    variants = figures["variant"].where(figures["title"].map(several), "")
    bases = [_joined(row) for row in zip(figures["title"], variants, strict=True)]
    groups = figures.groupby(pd.Series(bases, figures.index, dtype=str), sort=False)
    return {name: _joined([str(base), *row]) for base, own in groups for name, row in _apart(own).items()}


def _joined(words: Iterable[str]) -> str:
    """A title and what tells it apart; names as words, options as they are written."""
    title, *others = filter(None, words)
    return ", ".join([title, *(word if "=" in word else word.replace("_", " ") for word in others)])


def _apart(own: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The fewest words that tell figures of one title apart."""
    words = own.assign(evaluator=own["evaluator"].map(settings(own["evaluator"])))
    subsets = (list(some) for n in range(len(_TELLING) + 1) for some in combinations(_TELLING, n))
    rows = ([tuple(row) for row in words[some].to_numpy()] for some in subsets)
    found = next((found for found in rows if len(set(found)) == len(own)), [(str(n),) for n in own.index])
    return dict(zip(map(str, own.index), found, strict=True))


def settings(evaluators: Iterable[str]) -> dict[str, str]:
    """For each evaluator its name, or, where others of that name are there, the options that differ.

    >>> list(settings(["tightness", "tightness[samples=5,seed=1]", "gap_split[data=3]"]).values())
    ['', 'tightness', 'samples=5,seed=1', 'gap_split']
    """
    refs = {name: Ref.parse(name) for name in evaluators if name}
    alike = {name: [r for r in refs.values() if r.name == ref.name] for name, ref in refs.items()}
    return {"": "", **{name: _setting(ref, alike[name]) for name, ref in refs.items()}}


def _setting(ref: Ref, alike: list[Ref]) -> str:
    """The options that differ among evaluators of a name, or the name where there are none."""
    differing = {o: v for o, v in ref.options.items() if any(other.options.get(o) != v for other in alike)}
    return str(Ref("", differing))[1:-1] or ref.name
