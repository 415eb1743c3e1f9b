"""The search for combinations: by what components declare, each of which is built once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import torch

from lvmbench.checks.contract import BUILT
from lvmbench.checks.sources import Source
from lvmbench.combinations.parts import emitted
from lvmbench.combinations.requirements import (
    DECLARED,
    decoder_capabilities,
    end_capabilities,
    model_capabilities,
    posterior_traits,
    prior_capabilities,
)
from lvmbench.errors import Refusal
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.prior import SequencePrior
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.names import Ref

LATENT = 2
T = TypeVar("T")
Capabilities = frozenset[str]
NOTHING: Capabilities = frozenset()
Choices = Mapping[str, tuple[Ref, ...]]
"""The parts of each kind that a combination may be of, the ones that come first preferred."""
Found = tuple[Source, dict[str, Ref]]
LATE = ("objective.", "estimator.")
"""What of requirements can be met by the ends of a combination alone."""
DECISIVE: Mapping[str, tuple[str, ...]] = {
    "prior": ("distribution", "space"),
    "posterior": ("distribution",),
    "decoder": ("distribution", "__class__"),
    "objective": DECLARED,
    "estimator": (),
}
"""What decides, beside what components provide and require, with which others they can be."""


@dataclass(frozen=True, eq=False)
class Made:
    """A component that is built, and what decides with which others it can be.

    Arguments:
        ref: What it is.
        part: It itself.
        requires: What it asks of others.
        offers: What it offers others, as far as that is known of it alone.
        declared: The number of what it declares: the same for all components that can be with the same
            others.
    """

    ref: Ref
    part: Any
    requires: Capabilities
    offers: Capabilities
    declared: int

    @classmethod
    def of(cls, kind: str, ref: Ref, part: Any) -> Made:
        """A component of a kind."""
        requires, provides = frozenset(part.requires), frozenset(part.provides)
        decisive = (isinstance(part, SequencePrior), *(getattr(part, name) for name in DECISIVE[kind]))
        declared = _DECLARED.setdefault((requires, provides, *decisive), len(_DECLARED))
        return cls(ref, part, requires, _offers(kind, part), declared)


_DECLARED: dict[Hashable, int] = {}
"""Everything that components were found to declare, numbered: numbers are compared sooner."""


def _offers(kind: str, part: Any) -> Capabilities:
    """What a part of a model offers; of a prior that leaves open what its mixture is of, what it may."""
    if kind == "prior":
        return prior_capabilities(part) | {f"prior.{trait}" for trait in part.distribution.traits}
    if kind == "posterior" and part.distribution:
        return frozenset(f"posterior.{word}" for word in part.provides | posterior_traits(part.distribution))
    return decoder_capabilities(part) if kind == "decoder" else NOTHING


def _late(words: Capabilities) -> Capabilities:
    return frozenset(word for word in words if word.startswith(LATE))


@cache
def _kinds(words: Capabilities) -> frozenset[str]:
    return frozenset(word.partition(".")[0] for word in words)


def _lacks(required: Capabilities, offered: Capabilities) -> bool:
    """Whether something is required and not offered, of a kind of which something is."""
    missing = required - offered
    return bool(missing) and not _kinds(missing).isdisjoint(_kinds(offered))


class End(NamedTuple):
    """An objective and an estimator, what the two require and offer, and whether they meet each other."""

    objective: Made
    estimator: Made
    requires: Capabilities
    offers: Capabilities
    meet: bool

    @classmethod
    def of(cls, objective: Made, estimator: Made) -> End:
        """A pair."""
        requires = objective.requires | estimator.requires
        offers = end_capabilities(objective.part, estimator.part)
        return cls(objective, estimator, requires, offers, _late(requires) <= offers)


Built = dict[tuple[Any, ...], "Made | Exception"]
_BUILT: WeakKeyDictionary[Entry, Built] = WeakKeyDictionary()
"""What was built of each entry, for as long as a catalogue has it: catalogues share most of theirs."""


class Workshop:
    """Components, each built once for each data set and latent space."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._shelves: dict[tuple[str, tuple[Ref, ...], bool], Shelf] = {}
        self._known: dict[tuple[Any, ...], dict[Ref, Made | None]] = {}
        self._provided: dict[tuple[Any, ...], Capabilities] = {}
        self._pairs: dict[tuple[Made, Made], End] = {}
        self._ends: dict[tuple[Hashable, ...], list[End]] = {}

    def shelf(self, kind: str, refs: tuple[Ref, ...], *, tolerant: bool) -> Shelf:
        """Some components of a kind."""
        key = (kind, refs, tolerant)
        if key not in self._shelves:
            self._shelves[key] = Shelf(self, *key)
        return self._shelves[key]

    def all(self, kind: str, refs: Iterable[Ref], *arguments: Any, tolerant: bool) -> Iterator[Made]:
        """Those of some components that do not refuse."""
        known = self._known.setdefault((kind, tolerant, *arguments), {})
        for ref in refs:
            if ref not in known:
                known[ref] = self._one(kind, ref, *arguments, tolerant=tolerant)
            if made := known[ref]:
                yield made

    def _one(self, kind: str, ref: Ref, *arguments: Any, tolerant: bool) -> Made | None:
        """A component, or ``None`` where it refuses.

        What else a partner raises is not the other's fault.
        """
        built = _BUILT.setdefault(self.catalogue.entry(kind, ref.name), {})
        key = (ref, *arguments)
        if key not in built:
            built[key] = self._made(kind, ref, *arguments)
        made = built[key]
        if not isinstance(made, Exception):
            return made
        if tolerant or isinstance(made, Refusal):
            return None
        return Made.of(kind, ref, self._build(kind, ref, *arguments))  # raises it where it comes from

    def _made(self, kind: str, ref: Ref, *arguments: Any) -> Made | Exception:
        try:
            return Made.of(kind, ref, self._build(kind, ref, *arguments))
        except Exception as error:
            return error.with_traceback(None)

    def _build(self, kind: str, ref: Ref, source: Source | None = None, space: Any = None) -> Any:
        arguments = (source.summary, space) if source else ()
        if source and kind == "decoder":
            arguments = emitted(source.summary, space), space.visible
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # that of every device takes milliseconds
            return self.catalogue.build(kind, ref, *arguments)

    def provides(self, source: Source, prior: Made, q: Made, decoder: Made) -> Capabilities:
        """What a model and its data provide: the same for all whose parts declare the same."""
        key = (source, prior.declared, q.declared, decoder.declared)
        if key not in self._provided:
            complete = emitted(source.summary, prior.part.space).complete
            model = LatentVariableModel(prior.part, q.part, decoder.part, complete=complete)
            self._provided[key] = model_capabilities(source.data, model)
        return self._provided[key]

    def ends(self, objectives: list[Made], estimators: list[Made]) -> list[End]:
        """Each objective with each estimator that goes with it, of those that ask and offer the same
        the first.
        """
        key = (tuple(objectives), *((e.ref, e.declared) for e in estimators))
        if key not in self._ends:
            pairs = (self._end(o, e) for o in objectives for e in estimators)
            self._ends[key] = _firsts((p for p in pairs if p.meet), lambda p: (p.requires, p.offers))
        return self._ends[key]

    def _end(self, objective: Made, estimator: Made) -> End:
        key = (objective, estimator)
        if key not in self._pairs:
            self._pairs[key] = End.of(objective, estimator)
        return self._pairs[key]


class Shelf:
    """Some components of a kind, the ones that come first preferred.

    Arguments:
        workshop: Where they are built.
        kind: Their kind.
        refs: What they are.
        tolerant: Whether an error that one raises is passed over.
    """

    def __init__(self, workshop: Workshop, kind: str, refs: tuple[Ref, ...], tolerant: bool) -> None:
        self.workshop, self.kind, self.refs, self.tolerant = workshop, kind, refs, tolerant
        self._distinct: dict[tuple[Any, ...], list[Made]] = {}

    def distinct(self, *arguments: Any) -> list[Made]:
        """Of those that declare the same the first, for a data set and a latent space."""
        if arguments not in self._distinct:
            made = self.workshop.all(self.kind, self.refs, *arguments, tolerant=self.tolerant)
            self._distinct[arguments] = _firsts(made, lambda m: m.declared)
        return self._distinct[arguments]


def _firsts(found: Iterable[T], alike: Callable[[T], Hashable]) -> list[T]:
    """The first of those that are alike."""
    firsts: dict[Hashable, T] = {}
    for one in found:
        firsts.setdefault(alike(one), one)
    return list(firsts.values())


@dataclass(frozen=True)
class Search:
    """The combinations of some choices that provide what is needed and meet all requirements.

    Of components that declare the same, the first stands for all: what one can be with, so can the others.

    Arguments:
        workshop: Where components are built.
        choices: The parts of each kind.
        firm: The kinds of which an error that is raised is not passed over.
        need: What combinations have to provide.
    """

    workshop: Workshop
    choices: Choices
    firm: Collection[str]
    need: Capabilities

    @cached_property
    def _shelves(self) -> dict[str, Shelf]:
        shelf = self.workshop.shelf
        return {
            kind: shelf(kind, refs, tolerant=kind not in self.firm) for kind, refs in self.choices.items()
        }

    def among(self, sources: Iterable[Source]) -> Iterator[Found]:
        """The combinations for these data."""
        for source in sources:
            for prior in self._each("prior", self.need, source.offers, source, LATENT):
                if source.data.sequence and not prior.part.space.steps:
                    continue  # to such a prior they are nothing but data with holes
                for parts in self._around(prior, source):
                    yield source, {kind: made.ref for kind, made in zip(BUILT, parts, strict=True)}

    def _around(self, prior: Made, source: Source) -> Iterator[tuple[Made, ...]]:
        """The combinations with a prior."""
        ends = self._ends(source, prior.part.space)
        common = frozenset.intersection(*(end.requires for end in ends)) if ends else NOTHING
        for model in self._models(prior, self.need | common, source) if ends else ():
            provided = self.workshop.provides(source, *model)
            asked = self.need.union(*(part.requires for part in model))
            for end in ends:
                if asked | end.requires <= provided | end.offers:
                    yield *model, end.objective, end.estimator

    def _ends(self, source: Source, space: LatentSpace) -> list[End]:
        """Each objective with each estimator that goes with it."""
        estimators = self._shelves["estimator"].distinct(source, space)
        return self.workshop.ends(self._shelves["objective"].distinct(), estimators) if estimators else []

    def _models(self, prior: Made, need: Capabilities, source: Source) -> Iterator[tuple[Made, Made, Made]]:
        """The models around a prior whose parts have what they ask of each other."""
        space, offered, asked = prior.part.space, source.offers | prior.offers, need | prior.requires
        for q in self._each("posterior", asked, offered, source, space):
            # what steps emit together can do other things than their decoder
            wanted = NOTHING if space.steps else asked | q.requires
            for d in self._each("decoder", wanted, offered | q.offers, source, space):
                missing = asked.union(q.requires, d.requires) - self.workshop.provides(source, prior, q, d)
                if missing == _late(missing):
                    yield prior, q, d

    def _each(self, kind: str, need: Capabilities, offered: Capabilities, *arguments: Any) -> Iterator[Made]:
        """Of the parts of a kind that declare the same the first.

        Left out is what requires words that are not ``offered``, or does not offer the words that others
        ``need``, of the kinds of which some are known.
        """
        for made in self._shelves[kind].distinct(*arguments):
            if not _lacks(made.requires | need, made.offers | offered):
                yield made
