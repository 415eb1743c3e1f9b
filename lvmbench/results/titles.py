"""What figures are called in print: their titles, with what tells two apart that would be confused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from lvmbench.registry.names import Ref
from lvmbench.results.figures import Figure, grouped


def titles(figures: Iterable[Figure], measured: Iterable[Figure]) -> dict[str, str]:
    """The title of each figure, by its name, with what tells it from others that it would be confused with.

    A variant is another quantity and is named where several were measured, shown or not. A method, and the
    settings of an evaluator, are other ways to the same quantity and are named where several are shown.

    Arguments:
        figures: Those that are shown.
        measured: All that were measured.

    >>> variants = [("", "tightness"), ("", "tightness[samples=5]"), ("per_step", "tightness")]
    >>> figures = [Figure(str(i), "elbo", v, "", e, title="ELBO") for i, (v, e) in enumerate(variants)]
    >>> list(titles(figures, figures).values()), titles(figures[2:], figures)
    (['ELBO, tightness', 'ELBO, samples=5', 'ELBO, per step'], {'2': 'ELBO, per step'})
    """
    variants = Counter(title for title, _ in {(figure.title, figure.variant) for figure in measured})

    def base(figure: Figure) -> str:
        return _joined([figure.title, figure.variant if variants[figure.title] > 1 else ""])

    groups = grouped(figures, base)
    return {name: _joined([base(own[0]), *words]) for own in groups for name, words in _apart(own).items()}


def _joined(words: Iterable[str]) -> str:
    """A title and what tells it apart; names as words, options as they are written."""
    title, *others = filter(None, words)
    return ", ".join([title, *(word if "=" in word else word.replace("_", " ") for word in others)])


def _apart(own: Sequence[Figure]) -> dict[str, tuple[str, ...]]:
    """The fewest words that tell figures of one title apart."""
    called = settings(figure.evaluator for figure in own)
    words = [(figure.method, called[figure.evaluator], figure.metric) for figure in own]
    subsets = (some for n in range(4) for some in combinations(range(3), n))
    rows = ([tuple(row[i] for i in some) for row in words] for some in subsets)
    found = next((found for found in rows if len(set(found)) == len(own)), [(figure.name,) for figure in own])
    return {figure.name: telling for figure, telling in zip(own, found, strict=True)}


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
