"""Partners for a component: the other parts of a combination, found by what each declares."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from lvmbench.checks.contract import BUILT
from lvmbench.checks.options import required, small, variants
from lvmbench.checks.sources import Source, caused, counts, holed, registered, sequences, synthetic
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import Parts, build, emitted
from lvmbench.combinations.requirements import (
    decoder_capabilities,
    end_capabilities,
    model_capabilities,
    prior_capabilities,
)
from lvmbench.errors import Refusal
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.noise import Stream
from lvmbench.options import bases, options_model
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.names import Ref

LATENT = 2
JITTER = 0.5
"""By how much weights are off their initial values, beside the size of a sum of as many."""
HOST = "lvmbench"
LIMIT = 4
"""Partners are built with whole numbers of at most this in their options."""
Fixed = Mapping[str, Ref]
Capabilities = frozenset[str]
NOTHING: Capabilities = frozenset()
LATE = ("objective.", "estimator.")
"""What of the requirements of a model can be met by the ends of a combination alone."""


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


def _lacking(requires: Capabilities, offered: Capabilities) -> Capabilities:
    """What is required and not offered, of the kinds of which something is."""
    kinds = {word.partition(".")[0] for word in offered}
    return frozenset(word for word in requires - offered if word.partition(".")[0] in kinds)


def _options(entry: Entry) -> int:
    """How many options a component has; none where it cannot be imported."""
    try:
        component: Any = entry.load()
        return len(options_model(component).model_fields)
    except Exception:
        return 0


class Bench:
    """The components of a catalogue, as partners of the one that is checked."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._built: dict[tuple[Any, ...], Any] = {}
        self._found: dict[tuple[Any, ...], Case | None] = {}
        self._provided: dict[tuple[Any, ...], tuple[Capabilities, Capabilities]] = {}
        self._pairs: dict[tuple[Any, ...], list[tuple[dict[str, Ref], Capabilities, Capabilities]]] = {}

    @cached_property
    def offers(self) -> dict[str, list[Ref]]:
        """Every part that can be built, small: all at their defaults first, then their named choices."""
        return {kind: self._offers(kind) for kind in BUILT}

    def _offers(self, kind: str) -> list[Ref]:
        """The host's own come first, so that a broken part of another plugin does not spoil the checks of the
        rest.

        Of these the ones with the fewest options come first: they are the simplest, and quick.
        """
        entries = sorted(self.catalogue.entries(kind), key=lambda e: (e.distribution != HOST, _options(e)))
        found = [refs for entry in entries if (refs := self._variants(kind, entry.name))]
        first, others = [refs[0] for refs in found], [ref for refs in found for ref in refs[1:]]
        return list(dict.fromkeys([*first, *others]))

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
            return [Ref(entry.name)]
        made = (Ref(entry.name, dict.fromkeys(names, str(ref))) for ref in self.offers[entry.kind])
        return [ref for ref in made if self.find({entry.kind: ref})]

    def find(
        self, fixed: Fixed, need: Capabilities = NOTHING, sources: Sequence[Source] | None = None
    ) -> Case | None:
        """The first combination with these parts that provides what is needed, or ``None``."""
        where = None if sources is None else tuple(source.name for source in sources)
        key = (frozenset(fixed.items()), need, where)
        if key not in self._found:
            self._found[key] = next(self._search(fixed, need, sources or self._sources(fixed, need)), None)
        return self._found[key]

    def partners(self, fixed: Fixed, need: Capabilities = NOTHING) -> Iterator[tuple[str, Fixed, Case]]:
        """For each part of another kind and each data set,
        a combination with it that meets all requirements.
        """
        pairs = [(kind, ref) for kind in BUILT if kind not in fixed for ref in self.offers[kind]]
        for kind, ref in pairs:
            if case := self.find({**fixed, kind: ref}, need):
                yield f"{kind} '{ref}'", {kind: ref}, case
        for source in (*synthetic(), *holed(), *sequences()):
            if case := self.find(fixed, need, (source,)):
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

    def _sources(self, fixed: Fixed, need: Capabilities) -> tuple[Source, ...]:
        """The synthetic data, sequences last, and the registered only where none of these have what is asked
        of them.
        """
        declared = [self.catalogue.entry(kind, ref.name).load().requires for kind, ref in fixed.items()]
        wanted = {c.partition(".")[2] for c in need.union(*declared) if c.startswith("dataset.")}
        for known in (synthetic(), counts(), sequences(), holed(), caused()):
            if any(wanted <= source.data.capabilities for source in known):
                return tuple(dict.fromkeys((*known, *sequences())))
        return tuple(source for source in self._registered if wanted <= source.data.capabilities)

    def _search(self, fixed: Fixed, need: Capabilities, sources: Sequence[Source]) -> Iterator[Case]:
        for source, refs, space, (demanded, provided) in self._models(fixed, need, sources):
            missing = (need | demanded) - provided
            if not all(word.startswith(LATE) for word in missing):
                continue
            for chosen, ends, requires in self._ends(fixed, source, space):
                if missing <= ends and requires <= provided | ends:
                    yield Case(self.catalogue, source, {**refs, **chosen})

    def _ends(
        self, fixed: Fixed, source: Source, space: Any
    ) -> list[tuple[dict[str, Ref], Capabilities, Capabilities]]:
        """Each objective with each estimator, what the two provide, and what they require."""
        key = (fixed.get("objective"), fixed.get("estimator"), source, space)
        if key not in self._pairs:
            both = itertools.product(
                self._make("objective", fixed), self._make("estimator", fixed, source, space)
            )
            self._pairs[key] = [
                ({"objective": o_ref, "estimator": e_ref}, end_capabilities(o, e), o.requires | e.requires)
                for (o_ref, o), (e_ref, e) in both
            ]
        return self._pairs[key]

    def _models(
        self, fixed: Fixed, need: Capabilities, sources: Sequence[Source]
    ) -> Iterator[tuple[Source, dict[str, Ref], LatentSpace, tuple[Capabilities, Capabilities]]]:
        """The three parts of each model, its latent space, and what the model requires and provides."""
        for source in sources:
            told = frozenset(f"dataset.{word}" for word in source.data.capabilities)
            if _lacking(need, told):
                continue
            for prior_ref, prior in self._make("prior", fixed, source, LATENT, told):
                if source.data.sequence and not prior.space.steps:
                    continue  # to such a prior they are nothing but data with holes
                offered = told | prior_capabilities(prior)
                made = self._make("decoder", fixed, source, prior.space, offered)
                decoders = [(ref, d) for ref, d in made if not _lacking(need, decoder_capabilities(d))]
                for q_ref, q in self._make("posterior", fixed, source, prior.space, offered):
                    for decoder_ref, decoder in decoders:
                        refs = {"prior": prior_ref, "posterior": q_ref, "decoder": decoder_ref}
                        key = (source, *refs.values())
                        if key not in self._provided:
                            complete = emitted(source.summary, prior.space).complete
                            model = LatentVariableModel(prior, q, decoder, complete=complete)
                            demanded = prior.requires | q.requires | decoder.requires
                            self._provided[key] = demanded, model_capabilities(source.data, model)
                        yield source, refs, prior.space, self._provided[key]

    def _make(
        self,
        kind: str,
        fixed: Fixed,
        source: Source | None = None,
        space: Any = None,
        offered: Capabilities = NOTHING,
    ) -> Iterator[tuple[Ref, Any]]:
        """The fixed component of a kind, or every offer; built once for each data set and latent space.

        Left out is what requires words that are not ``offered``, of the kinds that are.
        """
        for ref in [fixed[kind]] if kind in fixed else self.offers[kind]:
            key = (kind, ref, source, space)
            if key not in self._built:
                self._built[key] = self._build(kind, ref, source, space, tolerant=kind not in fixed)
            built = self._built[key]
            if built is not None and not _lacking(built.requires, offered):
                yield ref, built

    def _build(self, kind: str, ref: Ref, source: Source | None, space: Any, *, tolerant: bool) -> Any:
        """The component, or ``None`` where it refuses.

        What else a partner raises is not the other's fault.
        """
        arguments = () if source is None else (source.summary, space)
        if kind == "decoder" and source is not None:
            arguments = (emitted(source.summary, space), space.visible)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)  # that of every device takes milliseconds
                return self.catalogue.build(kind, ref, *arguments)
        except Refusal:
            return None
        except Exception:
            if not tolerant:
                raise
            return None
