"""Suites: named, versioned grids of components with a budget, seeds and evaluators, written in YAML."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lvmbench.combinations.combination import SETTINGS
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS, TABLE
from lvmbench.options import Count
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import NAME, Ref
from lvmbench.suites.budget import Budget
from lvmbench.suites.claims import Claim
from lvmbench.suites.yamlfile import Location, YamlFile


def _is_written(value: Any) -> Any:
    named = isinstance(value, dict) and all(v is None or isinstance(v, dict) for v in value.values())
    if not isinstance(value, str) and not (named and len(value) == 1):
        raise ValueError("should be one component, as name, name[option=value] or name: {option: value}")
    return value


Written = Annotated[str | dict[str, dict[str, Any] | None], BeforeValidator(_is_written)]
"""A component as written in YAML: ``name[option=value]`` or ``name: {option: value}``."""
Names = Annotated[list[Written], Field(min_length=1)]
Value = str | int | float | None
"""A setting as written in YAML."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
SeedCount = Annotated[int, Field(ge=1, le=10_000)]
NOTHING = "none"
"""The metric of a suite whose board is a table without ranks."""
RULES = {
    "list_type": "should be a list",
    "dict_type": "should be a mapping of keys",
    "model_type": "should be a mapping of keys",
    "string_type": "should be text",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "too_short": "is empty; give at least one",
}
"""What pydantic says, in the words of YAML."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Schema(_Model):
    """The keys of a suite file."""

    suite: str
    version: Count = 1
    datasets: Names | None = None
    priors: Names | None = None
    posteriors: Names | None = None
    decoders: Names | None = None
    objectives: Names | None = None
    estimators: Names | None = None
    combinations: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    exclude: list[dict[str, Value]] = []
    latent: Count | list[Count] = 8
    budget: dict[str, Any] = {}
    seeds: SeedCount | list[Seed] = 3
    evaluators: Names
    metric: str = "elbo"
    claims: list[Claim] = []

    @field_validator("suite")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError("should be letters, digits, '_', '.' or '-', starting with a letter")
        return value

    @field_validator("latent")
    @classmethod
    def _are_sizes(cls, value: int | list[int]) -> int | list[int]:
        if value == []:
            raise ValueError("is empty; give a size, or several")
        return value

    @field_validator("seeds")
    @classmethod
    def _are_distinct(cls, value: int | list[int]) -> int | list[int]:
        twice = [s for s in value if value.count(s) > 1] if isinstance(value, list) else []
        if twice:
            raise ValueError(f"gives seed {twice[0]} twice; remove one")
        if value == []:
            raise ValueError("is empty; give how many, or a list of them")
        return value

    @model_validator(mode="after")
    def _has_combinations(self) -> Schema:
        required = [TABLE[kind].plural for kind in PARTS if not TABLE[kind].optional]
        present = [axis for axis in required if getattr(self, axis)]
        if len(present) < len(required) and (present or not self.combinations):
            missing = ", ".join(a for a in required if a not in present)
            raise ValueError(
                f"the grid is empty: it lacks {missing}; give them, or list combinations by hand"
            )
        return self


class _Latent(_Model):
    """A latent size alone."""

    latent: Count


SECTIONS: dict[str, type[BaseModel]] = {"budget": Budget, "claims": Claim}
"""The keys that hold keys of their own."""


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
    """What ``exclude`` leaves out: combinations of all of these components, with these settings."""

    choices: Mapping[str, Choice]
    values: Mapping[str, Any]


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
    evaluators: tuple[Choice, ...]
    metric: str
    figures: tuple[tuple[str, str, str], ...] = ()
    """The figures that its board depends on: the place, what it is for, and the name."""


def load_suite(name: str, catalogue: Catalogue) -> Suite:
    """Read a suite by its registered name or its path; raises `UserError` with file, line and column."""
    file = YamlFile(_find(name, catalogue))
    if not isinstance(file.plain, dict):
        raise UserError(f"{file.path}:1:1: a suite is a mapping of keys (suite, datasets, priors, ...)")
    try:
        schema = Schema(**file.plain)
    except ValidationError as error:
        raise UserError(_complaint(error, file)) from None
    read = _Reader(file, catalogue)
    return Suite(
        name=schema.suite,
        version=schema.version,
        path=file.path,
        grid=tuple(read.grid(schema)),
        picked=tuple(read.picked(schema)),
        exclude=tuple(read.rules(schema)),
        seeds=tuple(range(schema.seeds) if isinstance(schema.seeds, int) else schema.seeds),
        evaluators=tuple(
            c for options in read.axis("evaluator", schema.evaluators, "evaluators") for c in options
        ),
        metric=schema.metric,
        figures=tuple(read.figures(schema)),
    )


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


def _complaint(
    error: ValidationError, file: YamlFile, places: Mapping[str, Sequence[str | int]] | None = None
) -> str:
    """The first problem in the file, in one line; ``places`` has keys that are not at its root."""
    first, *others = error.errors()
    # Each branch of a union complains; the one that got furthest is the one that was meant.
    detail = max(
        (d for d in (first, *others) if d["loc"][:1] == first["loc"][:1]), key=lambda d: len(d["loc"])
    )
    location = [step for step in detail["loc"] if not isinstance(step, str) or not _is_type_tag(step)]
    if location and places:
        location[:1] = places[str(location[0])]
    at_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
    place, label = file.place(location, key=at_key), ".".join(map(str, location))
    if detail["type"] == "extra_forbidden":
        known = SECTIONS.get(str(location[0]), Schema).model_fields
        return f"{place}: unknown key '{label}'{nearest(str(location[-1]), known)}"
    if detail["type"] == "missing":
        return f"{place}: key '{label}' is missing; add it"
    said = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    rule = RULES.get(detail["type"], said)
    about = f"{label}: {rule} (got {_shown(detail['input'])})" if label else rule
    return f"{place}: {about}"


def _shown(value: object, width: int = 60) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def _is_type_tag(step: str) -> bool:
    """Whether a step of a pydantic location is no key: a branch of a union, or a note that a key is meant."""
    return step in {"str", "int", "float", "[key]"} or step.startswith(("dict[", "list[", "constrained-"))


class _Reader:
    """Turns what a suite file writes into choices of registered components."""

    def __init__(self, file: YamlFile, catalogue: Catalogue) -> None:
        self.file, self.catalogue = file, catalogue

    def grid(self, schema: Schema) -> Iterator[Row]:
        """The product of the axes, before exclusion."""
        axes = {kind: getattr(schema, TABLE[kind].plural) for kind in PARTS}
        settings = self._settings(self._own(schema))
        if axes["dataset"]:
            rows = {kind: (written, (TABLE[kind].plural,)) for kind, written in axes.items() if written}
            yield from (Row(choices, settings) for choices in self._product(rows))

    def picked(self, schema: Schema) -> Iterator[Row]:
        """The combinations listed by hand, which no rule excludes, with the suite's settings or their own."""
        for i, row in enumerate(schema.combinations or []):
            self._check_keys(row, ("combinations", i), required=True)
            given = {name: (value, ("combinations", i, name)) for name, value in row.items()}
            own = {name: given[name] for name in SETTINGS if name in given}
            settings = self._settings({**self._own(schema), **own})
            parts = {
                kind: ([self._component(*given[kind])], given[kind][1]) for kind in PARTS if kind in given
            }
            yield from (Row(choices, settings) for choices in self._product(parts))

    def _component(self, value: Any, at: Location) -> Written:
        try:
            written: Written = _is_written(value)
        except ValueError as error:
            label = ".".join(map(str, at))
            raise UserError(f"{self.file.place(at)}: {label}: {error} (got {_shown(value)})") from None
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
            latent = _Latent(latent=values.pop("latent")).latent
            return Setting(latent, Budget(**values))
        except ValidationError as error:
            places = {name: ("budget", name) for name in Budget.model_fields} | {
                name: at for name, _, at in row
            }
            raise UserError(_complaint(error, self.file, places)) from None

    def _product(self, axes: Mapping[str, tuple[list[Written], Location]]) -> Iterator[dict[str, Choice]]:
        expanded = [itertools.chain(*self.axis(kind, written, *at)) for kind, (written, at) in axes.items()]
        for row in itertools.product(*expanded):
            yield dict(zip(axes, row, strict=True))

    def figures(self, schema: Schema) -> Iterator[tuple[str, str, str]]:
        """What ranks, unless nothing does, and what claims are about."""
        if schema.metric != NOTHING:
            yield self.file.place(["metric"]), "metric", schema.metric
        for i, claim in enumerate(schema.claims):
            for name in claim.figures:
                yield self.file.place(["claims", i]), f"claim '{claim.claim}'", name

    def rules(self, schema: Schema) -> Iterator[Rule]:
        """The rules of ``exclude``."""
        for i, row in enumerate(schema.exclude):
            at = ("exclude", i)
            self._check_keys(row, at, required=False)
            choices = {
                kind: next(self._choices(kind, self._component(row[kind], (*at, kind)), (*at, kind)))
                for kind in PARTS
                if kind in row
            }
            yield Rule(choices, {n: self._value(n, row[n], (*at, n)) for n in SETTINGS if n in row})

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
            raise UserError(
                f"{self.file.place(at)}: {at[0]}: excludes everything; name a component or a setting"
            )

    def axis(self, kind: str, written: list[Written], *at: str | int) -> Iterator[Iterator[Choice]]:
        """The choices of each entry of a list.

        ``at`` ends in the list, or in the entry itself where it stands alone.
        """
        alone = len(at) > 1
        for i, entry in enumerate(written):
            yield self._choices(kind, entry, at if alone else (*at, i))

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
