"""Planning: from a suite to the runs that it asks for, each runnable or refused with its reason."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lvmbench.combinations.combination import SETTINGS, Combination, run_keys
from lvmbench.combinations.kinship import kinship
from lvmbench.combinations.parts import DataCache, Parts, identity, latent_size
from lvmbench.combinations.prototypes import Prototypes
from lvmbench.combinations.requirements import (
    Offer,
    default_estimators,
    end_capabilities,
    first_suitable,
    suiting_estimators,
    unmet,
    unmet_by_parts,
)
from lvmbench.dataset import Data, DataSummary
from lvmbench.errors import Refusal, Unavailable, UserError
from lvmbench.estimator import Estimator
from lvmbench.evaluator import Evaluator, Workload
from lvmbench.kinds import PARTS
from lvmbench.latents import LatentSpace
from lvmbench.model import LatentVariableModel
from lvmbench.options import OptionError
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref, matches
from lvmbench.registry.sandbox import contained, preserved
from lvmbench.registry.watch import Fatal
from lvmbench.status import Status, answered
from lvmbench.suites.effort import Effort
from lvmbench.suites.figures import check_figures, check_references, instruments
from lvmbench.suites.planned import Plan, Planned
from lvmbench.suites.suite import Choice, Row, Rule, Suite


def make_plan(suite: Suite, catalogue: Catalogue, only: Sequence[str] = ()) -> Plan:
    """Check all options, load the data sets and find out which combinations can run.

    ``only`` keeps the combinations that match each of these patterns. Raises `UserError` for wrong options
    and unusable data.
    """
    planner = _Planner(suite, catalogue)
    evaluators = tuple(planner.asked)
    known = instruments(catalogue, evaluators)
    check_figures(suite, evaluators, known)
    with preserved([]):  # components are made and asked
        combinations = planner.combinations()
    if not combinations:
        raise UserError(f"{suite.path}: the grid is empty: exclude leaves no combination; remove a rule")
    check_references(suite, combinations)
    chosen = [c for c in combinations if _matches(c, only)]
    if not chosen:
        raise UserError(
            f"--only: no combination of '{suite.path}' matches {' '.join(only)}; lvmbench plan shows them all"
        )
    with preserved([]):
        planned = tuple(planner.plan(c) for c in chosen)
    data = planner.data.loaded
    remarks = {name: found.remarks for name, found in data.items() if found.remarks}
    tested = {name: len(found.splits["test"]) for name, found in data.items()}
    return Plan(suite, planned, evaluators, known, data, tuple(combinations), remarks, tested)


def _matches(combination: Combination, only: Iterable[str]) -> bool:
    """Whether each pattern is in the combination's name, or, with wildcards, matches one of its parts.

    A bare name is matched against the names of the parts; the brackets of options are literal.
    Settings are written ``latent=8``.
    """
    parts = [str(combination[kind]) for kind in PARTS]
    names = [combination[kind].name for kind in PARTS]
    settings = [f"{name}={value}" for name, value in combination.settings.items()]
    return all(any(matches(p, o) for p in (*parts, *names, *settings)) for o in only)


Pattern = tuple[Mapping[str, Ref], Mapping[str, Any]]
"""Components by kind, each with the options that count, and settings."""


class _Planner:
    def __init__(self, suite: Suite, catalogue: Catalogue) -> None:
        self.suite, self.catalogue, self.data = suite, Prototypes(catalogue), DataCache(catalogue)
        self.places: dict[str, str] = {}
        self.excluded = [self._pattern(rule) for rule in suite.exclude]
        self.asked = self._asked()

    def canonical(self, choice: Choice) -> Ref:
        """The choice with its options checked.

        The reference as it is where its component cannot be imported.
        """
        try:
            return self.catalogue.canonical(choice.kind, choice.ref)
        except Unavailable:
            return choice.ref
        except OptionError as error:
            raise UserError(f"{choice.option_places.get(error.option, choice.place)}: {error}") from None

    def _asked(self) -> dict[Ref, list[Pattern]]:
        """The combinations that each evaluator is for, as patterns of which one fits."""
        asked: dict[Ref, list[Pattern]] = {}
        for one in self.suite.evaluators:
            patterns = [({}, {})] if one.on is None else [self._pattern(rule) for rule in one.on]
            asked.setdefault(self.canonical(one.choice), []).extend(patterns)
        return asked

    def _pattern(self, rule: Rule) -> Pattern:
        return {kind: Ref(c.ref.name, self._resolved(c)) for kind, c in rule.choices.items()}, rule.values

    def _resolved(self, choice: Choice) -> Mapping[str, Any]:
        """Only the options that a pattern names, checked."""
        self.canonical(choice)
        return choice.ref.options

    def combinations(self) -> list[Combination]:
        """The distinct combinations of the grid that no rule excludes, then the ones picked by hand."""
        grid = [c for row in self.suite.grid for c in self._of(row)]
        kept = [c for c in grid if not any(self._is(c, *rule) for rule in self.excluded)]
        found = list(dict.fromkeys([*kept, *(c for row in self.suite.picked for c in self._of(row))]))
        shown = tuple(name for name in SETTINGS if len({c.settings[name] for c in found}) > 1)
        return [replace(c, shown=shown) for c in found]

    def _of(self, row: Row) -> Iterator[Combination]:
        """The combinations of a row, one for each setting."""
        refs = {kind: self.canonical(choice) for kind, choice in row.choices.items()}
        self.places.setdefault(str(refs["dataset"]), row.choices["dataset"].place)
        estimators: dict[int, Ref] = {}
        for setting in row.settings:
            latent = self._latent(refs, setting.latent)
            if "estimator" not in refs and latent not in estimators:
                estimators[latent] = self._default_estimator(refs, latent)
            own = {} if "estimator" in refs else {"estimator": estimators[latent]}
            yield Combination({**refs, **own}, latent, setting.budget)

    def _latent(self, refs: Mapping[str, Ref], latent: int) -> int:
        """The latent size; the suite's where the prior cannot be imported, or the data that it asks for
        cannot be had, which `plan` reports.
        """
        try:
            return latent_size(self.catalogue, refs["prior"], latent, partial(self._summary, refs["dataset"]))
        except Unavailable:
            return latent

    def _summary(self, dataset: Ref) -> DataSummary:
        """What a data set is like; `Unavailable` where it cannot be had."""
        try:
            return self.data[dataset].summary
        except Exception as error:
            raise Unavailable(str(error)) from error

    def _default_estimator(self, refs: Mapping[str, Ref], latent: int) -> Ref:
        """The objective's default; some estimator where parts or data cannot be had, which `plan` reports."""
        try:
            objective = refs["objective"]
            defaults: list[Ref] = self._once(("defaults", objective), default_estimators, objective)
        except Unavailable:
            return Ref("pathwise")
        except (UserError, OptionError) as error:
            raise UserError(f"{self.suite.path}: a default of objective '{objective}': {error}") from None
        try:
            bound, offer = self.catalogue.build("objective", objective), self._offer(refs, latent)
            shared = ("suitable", refs["dataset"], objective, offer.model.prior.space, offer.trained)
            found: Ref = self._once(
                shared, first_suitable, defaults, bound, offer, self.data[refs["dataset"]]
            )
            return found
        except Exception:
            return defaults[0]

    def _offer(self, refs: Mapping[str, Ref], latent: int) -> Offer:
        """What data and model provide, which many combinations share."""
        chosen = {kind: refs[kind] for kind in ("dataset", *LatentVariableModel.PARTS)}
        offer: Offer = self._once(
            ("offer", *chosen.values(), latent), Offer.of, chosen, latent, self.data[refs["dataset"]]
        )
        return offer

    def _once(self, key: Hashable, find: Callable[..., Any], *args: Any) -> Any:
        return self.catalogue.once(key, partial(find, self.catalogue, *args))

    def _is(self, combination: Combination, parts: Mapping[str, Ref], values: Mapping[str, Any]) -> bool:
        def fits(kind: str, pattern: Ref) -> bool:
            ref = combination[kind]
            if ref.name != pattern.name:
                return False
            options = self._options(kind, ref) if pattern.options else {}
            return all(name in options and options[name] == value for name, value in pattern.options.items())

        same = all(combination.settings[name] == value for name, value in values.items())
        return same and all(fits(kind, pattern) for kind, pattern in parts.items())

    def _options(self, kind: str, ref: Ref) -> Mapping[str, Any]:
        """All options of a component; the ones given where it cannot be imported."""
        try:
            return self.catalogue.options(kind, ref)
        except Unavailable:
            return ref.options

    def plan(self, combination: Combination) -> Planned:
        """One combination with its keys and its evaluators, and its refusal where there is one.

        What fails here in any other way is left to fail, with its traceback recorded, when it is run.
        """
        wanted = tuple(e for e, on in self.asked.items() if any(self._is(combination, *each) for each in on))
        return replace(self._plan(combination, wanted), evaluators=wanted)

    def _plan(self, combination: Combination, evaluators: Sequence[Ref]) -> Planned:
        try:
            provenance = self.catalogue.provenance(combination.refs)
        except Unavailable as error:
            return self._without_data(combination, {}, Status.UNAVAILABLE, str(error))
        try:
            data = self.data[combination["dataset"]]
            provenance["dataset"] = self._provenance(combination["dataset"], data)
            found = identity(self.catalogue, combination, data)
        except UserError as error:
            raise UserError(f"{self.places[str(combination['dataset'])]}: {error}") from None
        except (Refusal, Unavailable) as error:
            return self._without_data(combination, provenance, answered(error), str(error))
        except Fatal as error:
            return self._without_data(combination, provenance, error.status, str(error))
        except Exception:
            return self._without_data(combination, provenance)
        planned = Planned(combination, self._keys(combination, found), provenance)
        try:
            return self._checked(planned, data, evaluators)
        except (Refusal, Unavailable) as error:
            return replace(planned, status=answered(error), reason=str(error))
        except Fatal as error:
            return replace(planned, status=error.status, reason=str(error))
        except Exception:
            return planned

    def _checked(self, planned: Planned, data: Data, evaluators: Sequence[Ref]) -> Planned:
        combination, build = planned.combination, self.catalogue.build
        offer = self._offer(combination.refs, combination.latent)
        objective = build("objective", combination["objective"])
        space = offer.model.prior.space
        estimator = build("estimator", combination["estimator"], data.summary, space)
        parts, ends = Parts(offer.model, objective, estimator), end_capabilities(objective, estimator)
        if reason := unmet_by_parts(parts, offer.trained | ends, combination, data):
            raise Refusal(reason)
        provided = offer.measured | ends
        reasons = {str(e): self._evaluator_refusal(e, provided, combination, data) for e in evaluators}
        refused = {name: reason for name, reason in reasons.items() if reason}
        applied = [e for e in evaluators if str(e) not in refused]
        estimators = {
            **self._suiting(combination, space, data, provided),
            str(combination["estimator"]): estimator,
        }
        sizes = {name: len(s) for name, s in data.splits.items()}
        work = Workload(objective, estimators, sizes, provides=provided)
        return replace(
            planned,
            parameters=offer.parameters,
            support=offer.model.decoder.distribution.support,
            kin=kinship(self.catalogue, combination) if parts.vectorizable else "",
            refused_evaluators=refused,
            efforts={str(e): self._effort(e, work) for e in applied},
        )

    def _suiting(
        self, combination: Combination, space: LatentSpace, data: Data, provided: frozenset[str]
    ) -> dict[str, Estimator]:
        """The estimators that suit the other parts, which many combinations share."""
        refs = combination["dataset"], combination["objective"]
        objective = self.catalogue.build("objective", refs[1])
        found: dict[str, Estimator] = self._once(
            ("suiting", *refs, space, provided), suiting_estimators, objective, space, data, provided
        )
        return found

    def _effort(self, evaluator: Ref, work: Workload) -> Effort | None:
        try:
            built: Evaluator = self.catalogue.build("evaluator", evaluator)
            with contained():
                count = built.evaluations(work)
                rest = built.densities(work), built.gradients(work), built.fits(work)
        except Exception:  # what fails here is left to fail when it is run
            return None
        return None if count is None else Effort(count, *rest)

    def _evaluator_refusal(
        self, evaluator: Ref, provided: frozenset[str], combination: Combination, data: Data
    ) -> str | None:
        try:
            built = self.catalogue.build("evaluator", evaluator)
        except (Refusal, Unavailable) as error:
            return str(error)
        except Exception:
            return None
        return unmet(f"evaluator '{evaluator}'", built, provided, combination, data)

    def _provenance(self, dataset: Ref, data: Data) -> dict[str, Any]:
        """What is recorded of a data set that could be had."""
        found: dict[str, Any] = self._once(("provenance", dataset), _provenance, dataset, data)
        return found

    def _keys(self, combination: Combination, known: Mapping[str, Any]) -> dict[int, str]:
        return run_keys(combination, self.suite.seeds, known)

    def _without_data(
        self,
        combination: Combination,
        provenance: Mapping[str, Any],
        status: str | None = None,
        reason: str = "",
    ) -> Planned:
        known = {"parts": {kind: str(ref) for kind, ref in combination.refs.items()}}
        return Planned(combination, self._keys(combination, known), provenance, status, reason)


def _provenance(catalogue: Catalogue, dataset: Ref, data: Data) -> dict[str, Any]:
    return {**catalogue.origin("dataset", dataset), "sha256": data.checksum}
