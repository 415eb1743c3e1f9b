"""Partners for a component: the other parts of a combination, found by what each declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from lvmbench.checks.contract import BUILT
from lvmbench.checks.covering import Covering, Part
from lvmbench.checks.options import required, small, variants
from lvmbench.checks.search import LATENT, NOTHING, Capabilities, Choices, Search, Workshop
from lvmbench.checks.sources import Source, everywhere, registered, sequences, sorts
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import Parts, build
from lvmbench.errors import Refusal
from lvmbench.noise import Stream
from lvmbench.options import bases, options_model
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.names import Ref

JITTER = 0.5
"""By how much weights are off their initial values, beside the size of a sum of as many."""
HOST = "lvmbench"
LIMIT = 3
"""Partners are built with whole numbers of at most this in their options: other than the number of latents
and that of the data of a batch, so that one axis taken for another is told.
"""
Fixed = Mapping[str, Ref]


@dataclass(frozen=True, eq=False)
class Case:
    """A combination that meets all requirements, and data for it."""

    catalogue: Catalogue
    source: Source
    refs: Fixed

    def __str__(self) -> str:
        partners = (f"{kind} '{ref}'" for kind, ref in self.refs.items())
        return ", ".join((self.source.name, *partners))

    def parts(self, latent: int = LATENT, seed: int = 0, jitter: float = JITTER) -> Parts:
        """The parts, with weights a little off their initial values, as training leaves them."""
        parts = build(self.catalogue, Combination(self.refs, latent), self.source.data, seed)
        noise = Stream.seeded(seed, "jitter", dtype=torch.float32)
        with torch.no_grad():
            for module in (parts.model, parts.objective, parts.estimator):
                for weight in module.parameters():
                    fan = weight.shape[-1] if weight.dim() > 1 else 1
                    weight.add_(noise.normal(weight.shape).to(weight), alpha=jitter / fan**0.5)
        return parts


def needs(parts: Parts) -> Capabilities:
    """Everything that the parts of a combination require."""
    return frozenset().union(*(part.requires for part in parts.components.values()))


def with_samples(catalogue: Catalogue, ref: Ref, samples: int) -> Ref:
    """An objective with this many samples, or particles, where it has that option."""
    component: Any = catalogue.entry("objective", ref.name).load()
    counts = {"samples", "particles"} & options_model(component).model_fields.keys()
    return Ref(ref.name, {**ref.options, **dict.fromkeys(counts, samples)})


def _options(entry: Entry) -> int:
    """How many options a component has; none where it cannot be imported."""
    try:
        component: Any = entry.load()
        return len(options_model(component).model_fields)
    except Exception:
        return 0


class Bench:
    """The components of a catalogue, as partners of the one that is checked.

    Those of the kinds and names in ``examined`` are checked together, and share combinations.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.examined: set[tuple[str, str]] = set()
        self._workshop = Workshop(catalogue)
        self._found: dict[tuple[Any, ...], Case | None] = {}
        self._cases: dict[tuple[Source, frozenset[tuple[str, Ref]]], Case] = {}
        self._covered: dict[tuple[Any, ...], Covering] = {}
        self._having: dict[Capabilities, tuple[Source, ...]] = {}

    @cached_property
    def offers(self) -> dict[str, tuple[Ref, ...]]:
        """Every part that can be built, small: all at their defaults first, then their named choices."""
        return {kind: self._offers(kind) for kind in BUILT}

    def _offers(self, kind: str) -> tuple[Ref, ...]:
        """The host's own come first, so that a broken part of another plugin does not spoil the checks of the
        rest.

        Of these the ones with the fewest options come first: they are the simplest, and quick.
        """
        entries = sorted(self.catalogue.entries(kind), key=lambda e: (e.distribution != HOST, _options(e)))
        found = [refs for entry in entries if (refs := self._variants(kind, entry.name))]
        first, others = [refs[0] for refs in found], [ref for refs in found for ref in refs[1:]]
        return tuple(dict.fromkeys([*first, *others]))

    def _variants(self, kind: str, name: str) -> list[Ref]:
        try:
            component = self.catalogue.entry(kind, name).load()
            if required(component):
                return []
            found = variants(name, component, small(component, LIMIT))
            several = [with_samples(self.catalogue, ref, 3) for ref in found] if kind == "objective" else []
        except Exception:  # a partner that cannot be imported is none
            return []
        return [*found, *several]

    def choices(self, entry: Entry) -> list[Ref]:
        """A component at its defaults; one that is made of another, once of each that it works with."""
        names = bases(entry.load())
        if not names:
            return [] if required(entry.load()) else [Ref(entry.name)]
        made = (Ref(entry.name, dict.fromkeys(names, str(ref))) for ref in self.offers[entry.kind])
        return [ref for ref in made if self.find({entry.kind: ref})]

    def find(
        self, fixed: Fixed, need: Capabilities = NOTHING, sources: Sequence[Source] | None = None
    ) -> Case | None:
        """The first combination with these parts that provides what is needed, or ``None``."""
        where = None if sources is None else tuple(source.name for source in sources)
        key = (frozenset(fixed.items()), need, where)
        if key not in self._found:
            self._found[key] = self.search(fixed, need, sources or self._sources(fixed, need), self.offers)
        return self._found[key]

    def search(
        self, fixed: Fixed, need: Capabilities, sources: Sequence[Source], offers: Choices
    ) -> Case | None:
        choices = {**offers, **{kind: (ref,) for kind, ref in fixed.items()}}
        found = Search(self._workshop, choices, fixed.keys(), need).among(sources)
        return next((self._case(source, refs) for source, refs in found), None)

    def _case(self, source: Source, refs: Fixed) -> Case:
        """The same one for the same combination, as what is known of it is kept."""
        key = (source, frozenset(refs.items()))
        return self._cases.setdefault(key, Case(self.catalogue, source, refs))

    def together(self, *entries: Entry) -> Case | None:
        """A combination with these components, whatever their options, or ``None``."""
        entries = tuple(sorted(entries, key=lambda entry: entry.kind))  # whichever is named first
        if (key := (entries,)) not in self._found:
            self._found[key] = self._pairing(entries)
        return self._found[key]

    def _pairing(self, entries: Sequence[Entry]) -> Case | None:
        own = {entry.kind: tuple(self._ways(entry)) for entry in entries}
        if not all(own.values()):
            return None
        sources = self._sources({kind: refs[0] for kind, refs in own.items()}, NOTHING)
        return self.search({}, NOTHING, sources, {**self.offers, **own})

    def _ways(self, entry: Entry) -> list[Ref]:
        """A component with the options that it is tried with."""
        return [ref for ref in self.offers[entry.kind] if ref.name == entry.name] or self.choices(entry)

    def covering(
        self, part: Part | None, need: Capabilities = NOTHING, alike: Callable[[Ref], str] = str
    ) -> list[Case]:
        """Combinations with a part that have every other part and data set between them,
        of parts that are ``alike`` one.

        They are shared with what is examined together with it, and depend on nothing else.
        """
        together = self._examined()
        key = (together if part in together else (part,), need, alike)
        if key not in self._covered:
            self._covered[key] = Covering(self, *key)
        return self._covered[key].of(part)

    def _examined(self) -> tuple[Part, ...]:
        return tuple((k, ref) for k in BUILT for ref in self.offers[k] if (k, ref.name) in self.examined)

    def partners(
        self, fixed: Fixed, need: Capabilities = NOTHING, met: Collection[object] = ()
    ) -> Iterator[tuple[str, Fixed, Case]]:
        """For each part of another kind and each data set, a combination with it that meets all requirements.

        What is met by the time that it is due, a part by kind and name, is left out.
        """
        pairs = [(kind, ref) for kind in BUILT if kind not in fixed for ref in self.offers[kind]]
        for kind, ref in pairs:
            if (kind, ref.name) not in met and (case := self.find({**fixed, kind: ref}, need)):
                yield f"{kind} '{ref}'", {kind: ref}, case
        for source in everywhere():
            if source.name not in met and (case := self.find(fixed, need, (source,))):
                yield source.name, {}, case

    def requires(self, kind: str, ref: Ref) -> Capabilities | None:
        """What a component that is built without partners requires; ``None`` where its options refuse."""
        try:
            return frozenset(self.catalogue.build(kind, ref).requires)
        except Refusal:
            return None

    @cached_property
    def _registered(self) -> tuple[Source, ...]:
        return tuple(registered(self.catalogue))

    def data(self, fixed: Fixed, need: Capabilities) -> tuple[Source, ...]:
        """All that have what is asked of them, the registered only where none of the synthetic do."""
        declared = [self.catalogue.entry(kind, ref.name).load().requires for kind, ref in fixed.items()]
        wanted = frozenset(word for word in need.union(*declared) if word.startswith("dataset."))
        if wanted not in self._having:
            found = tuple(source for source in everywhere() if wanted <= source.offers)
            self._having[wanted] = found or tuple(s for s in self._registered if wanted <= s.offers)
        return self._having[wanted]

    def _sources(self, fixed: Fixed, need: Capabilities) -> tuple[Source, ...]:
        """Those of the simplest sort of which there are some, and sequences last."""
        found = self.data(fixed, need)
        simplest = next((sort for sort in sorts() if not set(found).isdisjoint(sort)), found)
        return tuple(s for s in dict.fromkeys((*simplest, *sequences())) if s in found)
