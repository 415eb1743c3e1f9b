"""Suites: named, versioned grids of components with a budget, seeds and evaluators, written in YAML."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import (
    ValidationError,
)

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import SETTINGS
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS, TABLE
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import Ref
from lvmbench.suites.references import Reference
from lvmbench.suites.schema import NOTHING, Latent, Schema, Written, complaint, is_written, shown
from lvmbench.suites.yamlfile import Location, YamlFile

ON = "on"
"""The key of an evaluator that says which combinations it is for."""


@dataclass(frozen=True)
class Choice:
    """A component chosen in a suite, with the places that messages about it and its options name."""

    kind: str
    ref: Ref
    place: str
    option_places: Mapping[str, str] = field(default_factory=dict)


class Setting(NamedTuple):
    """A latent size and a budget."""

    latent: int
    budget: Budget


@dataclass(frozen=True)
class Row:
    """Components of a suite, and each setting that they are to be trained with."""

    choices: Mapping[str, Choice]
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Rule:
    """Which combinations ``exclude`` leaves out or ``on`` means: of all of these components, with these
    settings.
    """

    choices: Mapping[str, Choice]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """An evaluator, and the combinations that it is to measure: all, or those that one of the rules means."""

    choice: Choice
    on: tuple[Rule, ...] | None = None


@dataclass(frozen=True)
class Suite:
    """A suite whose names and structure are valid; its options are checked when it is planned."""

    name: str
    version: int
    path: Path
    grid: tuple[Row, ...]
    picked: tuple[Row, ...]
    exclude: tuple[Rule, ...]
    seeds: tuple[int, ...]
    evaluators: tuple[Asked, ...]
    metric: str | None
    figures: tuple[tuple[str, str, str], ...] = ()
    """The figures that its board depends on: the place, what it is for, and the name."""
    references: tuple[tuple[str, Reference], ...] = ()
    """The published figures, each with its place."""


def load_suite(name: str, catalogue: Catalogue) -> Suite:
    """Read a suite by its registered name or its path; raises `UserError` with file, line and column."""
    file = YamlFile(_find(name, catalogue))
    if not isinstance(file.plain, dict):
        raise UserError(f"{file.path}:1:1: a suite is a mapping of keys (suite, datasets, priors, ...)")
    try:
        schema = Schema(**file.plain)
    except ValidationError as error:
        raise UserError(complaint(error, file)) from None
    read = _Reader(file, catalogue)
    return Suite(
        name=schema.suite,
        version=schema.version,
        path=file.path,
        grid=tuple(read.grid(schema)),
        picked=tuple(read.picked(schema)),
        exclude=tuple(read.rules(schema)),
        seeds=tuple(range(schema.seeds) if isinstance(schema.seeds, int) else schema.seeds),
        evaluators=tuple(read.evaluators(schema)),
        metric=schema.metric,
        figures=tuple(read.figures(schema)),
        references=tuple(read.references(schema)),
    )


def _placed(values: Sequence[Any], at: Location) -> list[tuple[Any, Location]]:
    """Each value of a list, with its place in the file."""
    return [(value, (*at, i)) for i, value in enumerate(values)]


def _find(name: str, catalogue: Catalogue) -> Path:
    if ("suite", name) in catalogue:
        return catalogue.entry("suite", name).path
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise UserError(f"'{name}' is a folder, not a suite; give the path of a YAML file")
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise UserError(f"no suite file '{name}'; registered suites: {', '.join(catalogue.names('suite'))}")
    raise UserError(
        f"unknown suite '{name}'{nearest(name, catalogue.names('suite'))} (or give the path of a YAML file)"
    )


class _Reader:
    """Turns what a suite file writes into choices of registered components."""

    def __init__(self, file: YamlFile, catalogue: Catalogue) -> None:
        self.file, self.catalogue = file, catalogue

    def grid(self, schema: Schema) -> Iterator[Row]:
        """The product of the axes, before exclusion."""
        axes = {kind: getattr(schema, TABLE[kind].plural) for kind in PARTS}
        settings = self._settings(self._own(schema))
        if axes["dataset"]:
            rows = {
                kind: _placed(written, (TABLE[kind].plural,)) for kind, written in axes.items() if written
            }
            yield from (Row(choices, settings) for choices in self._product(rows))

    def picked(self, schema: Schema) -> Iterator[Row]:
        """The combinations listed by hand, which no rule excludes, with the suite's settings or their own."""
        for i, row in enumerate(schema.combinations or []):
            self._check_keys(row, ("combinations", i), required=True)
            given = {name: (value, ("combinations", i, name)) for name, value in row.items()}
            own = {name: given[name] for name in SETTINGS if name in given}
            settings = self._settings({**self._own(schema), **own})
            parts = {kind: list(self._components(*given[kind])) for kind in PARTS if kind in given}
            yield from (Row(choices, settings) for choices in self._product(parts))

    def _components(self, value: Any, at: Location) -> Iterator[tuple[Written, Location]]:
        """One component, or each of a list."""
        for written, place in _placed(value, at) if isinstance(value, list) and value else [(value, at)]:
            yield self._component(written, place), place

    def _component(self, value: Any, at: Location) -> Written:
        try:
            written: Written = is_written(value)
        except ValueError as error:
            label = ".".join(map(str, at))
            raise UserError(f"{self.file.place(at)}: {label}: {error} (got {shown(value)})") from None
        return written

    @staticmethod
    def _own(schema: Schema) -> dict[str, tuple[Any, Location]]:
        """The settings of the suite itself, with their places."""
        budget = {name: (value, ("budget", name)) for name, value in schema.budget.items()}
        return {"latent": (schema.latent, ("latent",)), **budget}

    def _settings(self, given: Mapping[str, tuple[Any, Location]]) -> tuple[Setting, ...]:
        """The product of the settings that are lists, each value checked."""
        axes = []
        for name, (value, at) in given.items():
            if value == []:
                raise UserError(
                    f"{self.file.place(at)}: {'.'.join(map(str, at))}: is empty; give a value, or several"
                )
            axes.append(
                [(name, v, (*at, i)) for i, v in enumerate(value)]
                if isinstance(value, list)
                else [(name, value, at)]
            )
        return tuple(self._setting(row) for row in itertools.product(*axes))

    def _setting(self, row: Iterable[tuple[str, Any, Location]]) -> Setting:
        values = {name: value for name, value, _ in row}
        try:
            latent = Latent(latent=values.pop("latent")).latent
            return Setting(latent, Budget(**values))
        except ValidationError as error:
            places = {name: ("budget", name) for name in Budget.model_fields} | {
                name: at for name, _, at in row
            }
            raise UserError(complaint(error, self.file, places)) from None

    def _product(self, axes: Mapping[str, list[tuple[Written, Location]]]) -> Iterator[dict[str, Choice]]:
        expanded = [self.choices(kind, entries) for kind, entries in axes.items()]
        for row in itertools.product(*expanded):
            yield dict(zip(axes, row, strict=True))

    def figures(self, schema: Schema) -> Iterator[tuple[str, str, str]]:
        """What ranks, where the suite says so, what its board shows, what claims and references are about."""
        if schema.metric not in (None, NOTHING):
            yield self.file.place(["metric"]), "metric", str(schema.metric)
        for i, name in enumerate(schema.board or []):
            yield self.file.place(["board", i]), "board", name
        for i, claim in enumerate(schema.claims):
            for name in claim.figures:
                yield self.file.place(["claims", i]), f"claim '{claim.claim}'", name
        for place, reference in self.references(schema):
            yield place, f"reference '{reference.source}'", reference.metric

    def references(self, schema: Schema) -> Iterator[tuple[str, Reference]]:
        """The published figures, each with its place."""
        for i, reference in enumerate(schema.references):
            yield self.file.place(["references", i]), reference

    def evaluators(self, schema: Schema) -> Iterator[Asked]:
        """The evaluators, each with the combinations that it is for."""
        for written, at in _placed(schema.evaluators, ("evaluators",)):
            written, on = self._without_on(written, at)
            yield from (Asked(choice, on) for choice in self._choices("evaluator", written, at))

    def _without_on(self, written: Written, at: Location) -> tuple[Written, tuple[Rule, ...] | None]:
        """What is written of an evaluator without ``on``, which is no option of it, and the rules of that."""
        if isinstance(written, str):
            return written, None
        ((name, options),) = written.items()
        on = (options or {}).get(ON)
        if on is None:
            return written, None
        at = (*at, name, ON)
        if not isinstance(on, dict):
            raise UserError(
                f"{self.file.place(at)}: {ON}: should name components or settings (got {shown(on)})"
            )
        rest = {option: value for option, value in (options or {}).items() if option != ON}
        return {name: rest}, tuple(self._meant(on, at))

    def _meant(self, on: Mapping[str, Any], at: Location) -> Iterator[Rule]:
        """The rules of ``on``, in which a component or a setting may be a list."""
        axes = [
            [(key, value)] if not isinstance(value, list) else [(key, v) for v in value]
            for key, value in on.items()
        ]
        for row in itertools.product(*axes):
            yield self._rule(dict(row), at)

    def rules(self, schema: Schema) -> Iterator[Rule]:
        """The rules of ``exclude``."""
        for row, at in _placed(schema.exclude, ("exclude",)):
            yield self._rule(row, at)

    def _rule(self, row: Mapping[str, Any], at: Location) -> Rule:
        self._check_keys(row, at, required=False)
        choices = {
            kind: next(self._choices(kind, self._component(row[kind], (*at, kind)), (*at, kind)))
            for kind in PARTS
            if kind in row
        }
        return Rule(choices, {n: self._value(n, row[n], (*at, n)) for n in SETTINGS if n in row})

    def _value(self, name: str, value: Any, at: Location) -> Any:
        """The value of a setting, checked."""
        found = self._setting([("latent", 1, ()), (name, value, at)])
        return found.latent if name == "latent" else getattr(found.budget, name)

    def _check_keys(self, row: Mapping[str, Any], at: Location, *, required: bool) -> None:
        known = (*PARTS, *SETTINGS)
        for key in row:
            if key not in known:
                place = self.file.place((*at, key), key=True)
                raise UserError(f"{place}: unknown key '{key}'{nearest(key, known)}")
        missing = [kind for kind in PARTS if kind not in row and not TABLE[kind].optional]
        if required and missing:
            raise UserError(f"{self.file.place(at)}: {at[0]}: lacks {', '.join(missing)}; name one of each")
        if not row:
            what = "is for nothing" if at[-1] == ON else "excludes everything"
            raise UserError(f"{self.file.place(at)}: {at[0]}: {what}; name a component or a setting")

    def choices(self, kind: str, entries: Iterable[tuple[Written, Location]]) -> Iterator[Choice]:
        """The choices that are written in some places of the file."""
        for written, at in entries:
            yield from self._choices(kind, written, at)

    def _choices(self, kind: str, written: Written, at: Location) -> Iterator[Choice]:
        place = self.file.place(at)
        try:
            name, options = self._parse(written)
            self.catalogue.entry(kind, name)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        places = (
            {o: self.file.place((*at, name, o), key=True) for o in options}
            if isinstance(written, dict)
            else {}
        )
        for option, value in options.items():
            if value == []:
                raise UserError(
                    f"{places.get(option, place)}: {kind} '{name}': option '{option}' is an empty list, "
                    "so the grid is empty; give it values"
                )
        values = [value if isinstance(value, list) else [value] for value in options.values()]
        for row in itertools.product(*values):
            yield Choice(kind, Ref(name, dict(zip(options, row, strict=True))), place, places)

    @staticmethod
    def _parse(written: Written) -> tuple[str, Mapping[str, Any]]:
        if isinstance(written, str):
            ref = Ref.parse(written)
            return ref.name, ref.options
        ((text, extra),) = written.items()
        ref = Ref.parse(text)
        twice = set(ref.options) & set(extra or {})
        if twice:
            raise UserError(f"'{text}': option '{min(twice)}' is given twice")
        return ref.name, {**ref.options, **(extra or {})}
