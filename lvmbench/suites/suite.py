"""Suites: named, versioned grids of components with a budget, seeds and evaluators, written in YAML."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS, TABLE
from lvmbench.options import Count
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.names import NAME, Ref
from lvmbench.suites.budget import Budget
from lvmbench.suites.claims import Claim
from lvmbench.suites.yamlfile import YamlFile


def _is_written(value: Any) -> Any:
    named = isinstance(value, dict) and all(v is None or isinstance(v, dict) for v in value.values())
    if not isinstance(value, str) and not (named and len(value) == 1):
        raise ValueError("should be one component, as name, name[option=value] or name: {option: value}")
    return value


Written = Annotated[str | dict[str, dict[str, Any] | None], BeforeValidator(_is_written)]
"""A component as written in YAML: ``name[option=value]`` or ``name: {option: value}``."""
Names = Annotated[list[Written], Field(min_length=1)]
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
    combinations: Annotated[list[dict[str, Written]], Field(min_length=1)] | None = None
    exclude: list[dict[str, str]] = []
    latent: Count = 8
    budget: Budget = Budget()
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


SECTIONS: dict[str, type[BaseModel]] = {"budget": Budget, "claims": Claim}
"""The keys that hold keys of their own."""


@dataclass(frozen=True)
class Choice:
    """A component chosen in a suite, with the places that messages about it and its options name."""

    kind: str
    ref: Ref
    place: str
    option_places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """A suite whose names and structure are valid; its options are checked when it is planned."""

    name: str
    version: int
    path: Path
    grid: tuple[Mapping[str, Choice], ...]
    picked: tuple[Mapping[str, Choice], ...]
    exclude: tuple[Mapping[str, Choice], ...]
    latent: int
    budget: Budget
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
        exclude=tuple(read.patterns(schema)),
        latent=schema.latent,
        budget=schema.budget,
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


def _complaint(error: ValidationError, file: YamlFile) -> str:
    """The first problem in the file, in one line."""
    first, *others = error.errors()
    # Each branch of a union complains; the one that got furthest is the one that was meant.
    detail = max(
        (d for d in (first, *others) if d["loc"][:1] == first["loc"][:1]), key=lambda d: len(d["loc"])
    )
    location = [step for step in detail["loc"] if not isinstance(step, str) or not _is_type_tag(step)]
    label = ".".join(str(step) for step in location)
    if detail["type"] == "extra_forbidden":
        known = SECTIONS.get(str(location[0]), Schema).model_fields
        return f"{file.place(location, key=True)}: unknown key '{label}'{nearest(str(location[-1]), known)}"
    if detail["type"] == "missing":
        return f"{file.place(location)}: key '{label}' is missing; add it"
    said = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    rule = RULES.get(detail["type"], said)
    about = f"{label}: {rule} (got {_shown(detail['input'])})" if label else rule
    return f"{file.place(location)}: {about}"


def _shown(value: object, width: int = 60) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def _is_type_tag(step: str) -> bool:
    """Whether a step of a pydantic location names a branch of a union instead of a key."""
    return step in {"str", "int"} or step.startswith(("dict[", "list[", "constrained-"))


class _Reader:
    """Turns what a suite file writes into choices of registered components."""

    def __init__(self, file: YamlFile, catalogue: Catalogue) -> None:
        self.file, self.catalogue = file, catalogue

    def grid(self, schema: Schema) -> Iterator[dict[str, Choice]]:
        """The product of the axes, before exclusion."""
        axes = {kind: getattr(schema, TABLE[kind].plural) for kind in PARTS}
        if axes["dataset"]:
            yield from self._product(
                {kind: (written, (TABLE[kind].plural,)) for kind, written in axes.items() if written}
            )

    def picked(self, schema: Schema) -> Iterator[dict[str, Choice]]:
        """The combinations listed by hand, which no rule excludes."""
        for i, row in enumerate(schema.combinations or []):
            self._check_kinds(row, ("combinations", i), required=True)
            yield from self._product(
                {kind: ([written], ("combinations", i, kind)) for kind, written in row.items()}
            )

    def _product(
        self, axes: Mapping[str, tuple[list[Written], tuple[str | int, ...]]]
    ) -> Iterator[dict[str, Choice]]:
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

    def patterns(self, schema: Schema) -> Iterator[dict[str, Choice]]:
        """The rules of ``exclude``."""
        for i, row in enumerate(schema.exclude):
            self._check_kinds(row, ("exclude", i), required=False)
            yield {kind: next(self._choices(kind, text, ("exclude", i, kind))) for kind, text in row.items()}

    def _check_kinds(self, row: Mapping[str, Any], at: tuple[str | int, ...], *, required: bool) -> None:
        for kind in row:
            if kind not in PARTS:
                raise UserError(
                    f"{self.file.place((*at, kind), key=True)}: unknown kind '{kind}'{nearest(kind, PARTS)}"
                )
        missing = [kind for kind in PARTS if kind not in row and not TABLE[kind].optional]
        if required and missing:
            raise UserError(f"{self.file.place(at)}: {at[0]}: lacks {', '.join(missing)}; name one of each")
        if not row:
            raise UserError(f"{self.file.place(at)}: {at[0]}: excludes everything; name a component")

    def axis(self, kind: str, written: list[Written], *at: str | int) -> Iterator[Iterator[Choice]]:
        """The choices of each entry of a list.

        ``at`` ends in the list, or in the entry itself where it stands alone.
        """
        alone = len(at) > 1
        for i, entry in enumerate(written):
            yield self._choices(kind, entry, at if alone else (*at, i))

    def _choices(self, kind: str, written: Written, at: tuple[str | int, ...]) -> Iterator[Choice]:
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
