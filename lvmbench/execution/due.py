"""What is still to do of a plan, by what its store holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lvmbench.combinations.combination import Combination
from lvmbench.execution.jobs import Run
from lvmbench.registry.names import Ref
from lvmbench.results.per_datum import changed, per_datum_file
from lvmbench.results.store import Store
from lvmbench.results.weights import fault, weights_file
from lvmbench.status import Status
from lvmbench.suites.planned import Plan, Planned


@dataclass
class Rest:
    """The runs of one combination that are still to be trained or measured.

    Arguments:
        combination: What they are of.
        keys: Their keys, by seed.
        untrained: Those that are to be trained.
        evaluators: What is to measure each of them.
        facts: What is on record of the training of those that are trained.
        seeds: How many seeds the combination has.
        open: How many of its jobs have not ended.
        done: How many measurements are made.
    """

    combination: Combination
    keys: dict[int, str]
    untrained: dict[int, str]
    evaluators: dict[int, tuple[Ref, ...]]
    facts: dict[int, Mapping[str, Any]]
    seeds: int
    open: int = 0
    done: int = 0

    def run(self, seed: int) -> Run:
        """One of its runs."""
        return Run(self.combination, seed, self.keys[seed])

    @property
    def total(self) -> int:
        """How many measurements are to be made of its runs."""
        return sum(len(evaluators) for evaluators in self.evaluators.values())


class Known(NamedTuple):
    """What a store says of some runs: their statuses, how each of their evaluations ended, and the checksums
    of their weights and of their figures of single data, by key and evaluator.
    """

    statuses: Mapping[str, str]
    evaluated: Mapping[str, Mapping[str, tuple[str, str]]]
    checksums: Mapping[str, str | None]
    per_datum: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, store: Store, keys: list[str] | None = None) -> Known:
        """What it says of these runs, or of all."""
        sums = store.checksums(keys), store.per_datum_checksums(keys)
        return cls(store.statuses(keys), store.evaluated(keys), *sums)


class Due:
    """What is still to do of a plan; without ``training`` only what evaluators ask."""

    def __init__(self, store: Store, weights: Path, training: bool) -> None:
        self.weights, self.training, self._store = weights, training, store
        self._looked_at: dict[tuple[str, str | None], str] = {}
        self._figures: dict[tuple[str, str, str | None], bool] = {}
        self.added = tuple(map(Ref.parse, store.noted("added", []))) if training else ()

    def all_of(self, plan: Plan) -> list[tuple[Planned, Rest]]:
        """The combinations of which anything is to do, and what."""
        known = Known.of(self._store)
        rests = ((planned, self._rest(planned, dict(planned.keys), known)) for planned in plan.planned)
        return [(planned, rest) for planned, rest in rests if rest]

    def rest(self, planned: Planned, keys: dict[int, str]) -> Rest | None:
        """What is to do now of these runs of a combination, if there is anything."""
        rest = self._rest(planned, keys, Known.of(self._store, [*keys.values()]))
        if rest:
            facts = self._store.facts([k for s, k in rest.keys.items() if s not in rest.untrained])
            rest.facts = {s: facts[k] for s, k in rest.keys.items() if k in facts}
        return rest

    def _rest(self, planned: Planned, keys: dict[int, str], known: Known) -> Rest | None:
        untrained = {s: k for s, k in keys.items() if self.training and self._untrained(planned, k, known)}
        ok = {s: k for s, k in keys.items() if known.statuses.get(k) == Status.OK}
        trained = {s: k for s, k in ok.items() if s not in untrained}
        evaluators = {s: self._all(planned, k, known) for s, k in untrained.items()}
        evaluators |= {
            s: missing for s, k in trained.items() if (missing := self._missing(planned, k, known))
        }
        if not evaluators:
            return None
        return Rest(
            planned.combination, {**trained, **untrained}, untrained, evaluators, {}, len(planned.keys)
        )

    def _untrained(self, planned: Planned, key: str, known: Known) -> bool:
        """Whether a run was never trained, lacked something that is there now, or has no weights that can be
        used.
        """
        status = known.statuses.get(key)
        if status == Status.OK:
            return bool(self._fault(key, known.checksums.get(key)))
        return status == Status.INTERRUPTED or (status == Status.UNAVAILABLE and not planned.status)

    def _fault(self, key: str, sha256: str | None) -> str:
        """What is wrong with the weights of a run, if anything; the same are looked at once."""
        if (key, sha256) not in self._looked_at or self._looked_at[key, sha256]:
            self._looked_at[key, sha256] = fault(weights_file(self.weights, key), sha256)
        return self._looked_at[key, sha256]

    @property
    def lost(self) -> list[str]:
        """What is wrong with the files of runs that are trained or measured again, a line for each."""
        weights = (
            f"the weights of run {key[:20]} are {wrong}: it is trained again"
            for (key, _), wrong in self._looked_at.items()
            if wrong
        )
        figures = (
            f"the figures of single data of run {key[:20]} are not what {evaluator} gave: it measures again"
            for (key, evaluator, _), wrong in self._figures.items()
            if wrong
        )
        return [*weights, *figures]

    def _all(self, planned: Planned, key: str, known: Known) -> tuple[Ref, ...]:
        """The evaluators of a combination, and those that were asked to measure a run beside them."""
        beside = map(Ref.parse, known.evaluated.get(key, {}))
        return tuple(dict.fromkeys([*planned.evaluators, *self.added, *beside]))

    def _missing(self, planned: Planned, key: str, known: Known) -> tuple[Ref, ...]:
        """The evaluators that are still to measure a run."""
        candidates = self._all(planned, key, known) if self.training else planned.evaluators
        return tuple(e for e in candidates if self._unmeasured(planned, key, str(e), known))

    def _unmeasured(self, planned: Planned, key: str, evaluator: str, known: Known) -> bool:
        """Whether an evaluator has not measured a run, lacked something and does not say so any more, or its
        figures of single data were changed.
        """
        status, reason = known.evaluated.get(key, {}).get(evaluator, (Status.INTERRUPTED, ""))
        is_back = planned.refused_evaluators.get(evaluator) != reason
        waits = status == Status.INTERRUPTED or (status == Status.UNAVAILABLE and is_back)
        return waits or self._changed(key, evaluator, known.per_datum.get((key, evaluator)))

    def _changed(self, key: str, evaluator: str, sha256: str | None) -> bool:
        """Whether the figures of single data of a run were changed; the same are looked at once."""
        name = (key, evaluator, sha256)
        if name not in self._figures or self._figures[name]:
            self._figures[name] = changed(per_datum_file(self.weights, key, evaluator), sha256)
        return self._figures[name]
