"""Few combinations in which many parts meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lvmbench.checks.contract import BUILT
from lvmbench.checks.search import NOTHING, Capabilities, Choices
from lvmbench.checks.sources import Source, everywhere
from lvmbench.registry.names import Ref

if TYPE_CHECKING:
    from lvmbench.checks.partners import Bench, Case

Part = tuple[str, Ref]
"""A part by its kind."""


class Covering:
    """Combinations in which each of some parts meets every other part, and all data, that it can be with.

    One search for each pair that has not met by then, which begins with what the two of it have not met
    either: a combination brings ten pairs of parts together. They depend on the parts alone, and not on which
    of them is asked for first.

    Arguments:
        bench: The parts that there are.
        parts: Those that are to meet the others; ``None`` is any, so that each other one is met once.
        need: What combinations have to provide.
        alike: What of a part has to be met.
    """

    def __init__(
        self,
        bench: Bench,
        parts: Sequence[Part | None],
        need: Capabilities = NOTHING,
        alike: Callable[[Ref], str] = str,
    ) -> None:
        self.bench, self.need, self._alike = bench, need, alike
        self._met: dict[Part | None, set[object]] = {part: set() for part in parts}
        self._apart: dict[frozenset[object], Exception | None] = {}
        self.cases: list[Case] = []
        for part in parts:
            self._complete(part)

    def of(self, part: Part | None) -> list[Case]:
        """Combinations with a part, each of which has something in it that those before it have not.

        Raises what building the part, or a partner, raised.
        """
        for things, error in self._apart.items():
            if error and (part is None or part in things):
                raise error
        found, met = [], set[object]()
        for case in self.cases:
            if part in self._in(case) and not self._contents(case) <= met:
                met |= self._contents(case)
                found.append(case)
        return found

    def _complete(self, part: Part | None) -> None:
        """Add what lacks for a part to have met all: the kind that has most to offer first."""
        fixed = [] if part is None else [part]
        for other in self._others(fixed):
            if self._sort(other) not in self._met[part]:
                self._add([*fixed, other])
        for source in everywhere():
            if source not in self._met[part]:
                self._add(fixed, source)

    def _others(self, fixed: Sequence[Part]) -> Iterator[Part]:
        offers = self.bench.offers
        free = [kind for kind in BUILT if kind not in dict(fixed)]
        for kind in sorted(free, key=lambda kind: -len(offers[kind])):
            yield from ((kind, ref) for ref in offers[kind])

    def _add(self, fixed: Sequence[Part], *source: Source) -> None:
        """A combination with some parts, if there is one; which there is not is found once."""
        if (things := frozenset((*fixed, *source))) in self._apart:
            return
        try:
            case = self._search(fixed, source)
        except Exception as error:  # of one of these parts: both are told
            self._apart[things] = error
            return
        if case:
            self._keep(case)
        else:
            self._apart[things] = None

    def _search(self, fixed: Sequence[Part], given: Sequence[Source]) -> Case | None:
        sources, choices = self._freshest(fixed)
        return self.bench.search(dict(fixed), self.need, given or sources, choices)

    def _freshest(self, fixed: Sequence[Part]) -> tuple[list[Source], Choices]:
        """Data and parts to search, those first that fewest of these parts have met."""
        met = [self._met[part] for part in (None, *fixed) if part in self._met]

        def often(what: object) -> int:
            return sum(what in known for known in met)

        def fresh(kind: str) -> tuple[Ref, ...]:
            return tuple(sorted(self.bench.offers[kind], key=lambda ref: often(self._sort((kind, ref)))))

        sources = sorted(self.bench.data(dict(fixed), self.need), key=often)
        return sources, {kind: fresh(kind) for kind in BUILT}

    def _keep(self, case: Case) -> None:
        self.cases.append(case)
        for part in self._in(case):
            self._met[part] |= self._contents(case)

    def _in(self, case: Case) -> list[Part | None]:
        """The parts of a combination that are to meet the others."""
        return [part for part in (None, *case.refs.items()) if part in self._met]

    def _contents(self, case: Case) -> set[object]:
        return {case.source, *map(self._sort, case.refs.items())}

    def _sort(self, part: Part) -> tuple[str, str]:
        kind, ref = part
        return kind, self._alike(ref)
