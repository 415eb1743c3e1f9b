"""What a check is given: one component with its options, and ways to put it to work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lvmbench.checks.contract import MODEL_PARTS, Skip
from lvmbench.checks.options import small
from lvmbench.checks.partners import JITTER, LIMIT, Bench, Case, with_samples
from lvmbench.checks.search import LATENT, NOTHING, Capabilities
from lvmbench.checks.sources import Source
from lvmbench.combinations.parts import Parts
from lvmbench.dataset import DataSummary
from lvmbench.distributions import Distribution
from lvmbench.latents import LatentSpace
from lvmbench.noise import Noise, Stream
from lvmbench.registry.catalogue import Entry
from lvmbench.registry.names import Ref
from lvmbench.terms import Terms

TOY = DataSummary((1,), "real", torch.zeros(1)), LatentSpace((1,))
"""What an estimator is built for where the model is a toy."""


def stream(*words: object, dtype: torch.dtype = torch.float32) -> Stream:
    """Fixed noise for one purpose."""
    return Stream.seeded(1, "checks", *words, dtype=dtype)


class Specimen:
    """One component with some options.

    Arguments:
        bench: The catalogue it is in.
        entry: Where it is registered.
        ref: Its name and options.
        before: The choices of its options that are tried before this one.
    """

    def __init__(self, bench: Bench, entry: Entry, ref: Ref, before: Sequence[Ref] = ()) -> None:
        self.bench, self.entry, self.ref, self.before = bench, entry, ref, before
        self.kind = entry.kind
        self.memory: dict[str, Any] = {}

    @cached_property
    def cls(self) -> Any:
        """The class."""
        return self.entry.load()

    @cached_property
    def small(self) -> Ref:
        """It with small whole numbers for the options that are not given, as partners are made."""
        return Ref(self.ref.name, {**small(self.cls, LIMIT), **self.ref.options})

    def build(self) -> Any:
        """A fresh one of a kind that is built without partners; an estimator for the toy models."""
        return self.bench.catalogue.build(self.kind, self.ref, *(TOY if self.kind == "estimator" else ()))

    def case(self, need: Capabilities = NOTHING, sources: Sequence[Source] | None = None) -> Case:
        """The first combination that it works in."""
        return self._found(self.bench.find({self.kind: self.ref}, need, sources), need)

    def _found(self, case: Case | None, need: Capabilities) -> Case:
        if case is None:
            wanted = ", ".join(sorted(self.cls.requires | need)) or "anything"
            raise Skip(f"no partners in the catalogue provide {wanted}")
        return case

    def trial(
        self, need: Capabilities = NOTHING, sources: Sequence[Source] | None = None, **options: Any
    ) -> Trial:
        """It at work in the first combination."""
        return Trial.of(self.kind, self.case(need, sources), **options)

    def with_trait(self, trait: str, **options: Any) -> Trial:
        """A part at work where what it returns has a trait."""
        try:
            return self.trial(frozenset({f"{self.kind}.{trait}"}), **options)
        except Skip:
            raise Skip(f"the trait '{trait}' is not declared, or no partners meet its requirements") from None

    def trials(self, **options: Any) -> Iterator[Trial]:
        """It at work in a combination; for an estimator, in one with each objective."""
        if self.kind != "estimator":
            yield self.trial(**options)
            return
        found = [self.with_objective(ref) for ref in self.bench.offers["objective"]]
        yield from (Trial.of(self.kind, case, **options) for case in found if case)
        self._found(next((case for case in found if case), None), NOTHING)

    def with_objective(self, ref: Ref) -> Case | None:
        """An estimator's combination with an objective, with several samples where one is too few."""
        several = with_samples(self.bench.catalogue, ref, 3)
        fixed = {self.kind: self.ref}
        return self.bench.find({**fixed, "objective": ref}) or self.bench.find(
            {**fixed, "objective": several}
        )


class Trial(nn.Module):
    """A component at work in a combination, on one batch.

    Arguments:
        kind: The kind of the component.
        case: The combination.
        parts: Its parts.
        x: A batch of data, ``(B, *x)``.
        z: Latent values, ``(K, B, *z)``.
    """

    def __init__(self, kind: str, case: Case, parts: Parts, x: Tensor, z: Tensor) -> None:
        super().__init__()
        self.kind, self.case, self.parts, self.x, self.z = kind, case, parts, x, z
        self.model, self.objective, self.estimator = parts.model, parts.objective, parts.estimator

    @classmethod
    def of(
        cls,
        kind: str,
        case: Case,
        *,
        samples: int = 2,
        batch: int = 4,
        latent: int = LATENT,
        seed: int = 0,
        jitter: float = JITTER,
        dtype: torch.dtype = torch.float32,
    ) -> Trial:
        """A component of this kind at work in a combination."""
        parts = case.parts(latent, seed, jitter)
        for module in (parts.model, parts.objective, parts.estimator):
            module.to(dtype)
        x = _batch(case.source, batch).to(dtype)
        with torch.no_grad():
            z = parts.model.prior_draws(x, stream("z", dtype=dtype), samples)
        return cls(kind, case, parts, x, z)

    @property
    def component(self) -> Any:
        """The component itself."""
        return self.parts.components[self.kind]

    @property
    def dtype(self) -> torch.dtype:
        """The type of the data."""
        return self.x.dtype

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The event shape of what a part returns."""
        space = self.parts.model.prior.space.along(self.x)
        return tuple(self.x.shape[1:]) if self.kind == "decoder" else space.event_shape

    @property
    def lead(self) -> tuple[int, ...]:
        """The batch shape of what a part returns; that of p(z) is a batch's where it goes along x."""
        if self.kind == "decoder":
            return tuple(self.z.shape[:2])
        along = self.kind == "posterior" or self.parts.model.prior.space.steps
        return (len(self.x),) if along else ()

    @property
    def given(self) -> Tensor:
        """Values whose density a part can be asked for."""
        return self.x if self.kind == "decoder" else self.z

    def noise(self, *words: object) -> Stream:
        """Fixed noise of the right type."""
        return stream(*words, dtype=self.dtype)

    def call(self, noise: Noise | None = None) -> Distribution:
        """What a part returns, a posterior in a step that has noise."""
        model = self.parts.model
        if self.kind == "prior":
            return model.along(self.x)
        if self.kind == "posterior":
            return model.q(self.x, noise)
        return model.decode(self.z)

    def forward(self, noise: Noise, samples: int = 3) -> tuple[Tensor, ...]:
        """Everything that the component computes: samples and densities of a part, or bound and surrogate."""
        model, objective = self.parts.model, self.parts.objective
        if self.kind == "objective":
            return (objective(Terms(model, self.x, noise, objective.samples)),)
        if self.kind == "estimator":
            return tuple(self.parts.estimator(objective, model, self.x, noise))
        p = self.call(noise)
        drawn = p.sample_and_log_prob(noise, samples)
        return (*drawn, p.log_prob(self.given)) if "density" in p.traits else drawn

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the component's figures train: its own, or for bounds those of the model."""
        module = self.component if self.kind in MODEL_PARTS else self.parts.model
        return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def _batch(source: Source, size: int) -> Tensor:
    rows = source.data.splits["train"].values
    x = rows.repeat(-(-size // len(rows)), *[1] * (rows.dim() - 1))[:size]
    return source.data.visit(x, stream("visit", dtype=x.dtype)) if source.data.visit else x
