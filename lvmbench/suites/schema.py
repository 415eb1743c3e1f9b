"""The keys of a suite file, and what is said of one that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

from lvmbench.combinations.budget import Budget
from lvmbench.errors import nearest
from lvmbench.kinds import PARTS, TABLE
from lvmbench.options import Count
from lvmbench.registry.names import SUITE
from lvmbench.suites.claims import Claim
from lvmbench.suites.references import Reference
from lvmbench.suites.yamlfile import YamlFile


def is_written(value: Any) -> Any:
    named = isinstance(value, dict) and all(v is None or isinstance(v, dict) for v in value.values())
    if not isinstance(value, str) and not (named and len(value) == 1):
        raise ValueError("should be one component, as name, name[option=value] or name: {option: value}")
    return value


Written = Annotated[str | dict[str, dict[str, Any] | None], BeforeValidator(is_written)]
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
    metric: str | None = None
    board: Annotated[list[str], Field(min_length=1)] | None = None
    claims: list[Claim] = []
    references: list[Reference] = []

    @field_validator("suite")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not SUITE.fullmatch(value):
            raise ValueError(
                "should be letters, digits, '_', '.' or '-', starting with a letter, or several such with '/'"
            )
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


class Latent(_Model):
    """A latent size alone."""

    latent: Count


SECTIONS: dict[str, type[BaseModel]] = {"budget": Budget, "claims": Claim, "references": Reference}
"""The keys that hold keys of their own."""


def complaint(
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
    about = f"{label}: {rule} (got {shown(detail['input'])})" if label else rule
    return f"{place}: {about}"


def shown(value: object, width: int = 60) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def _is_type_tag(step: str) -> bool:
    """Whether a step of a pydantic location is no key: a branch of a union, or a note that a key is meant."""
    return step in {"str", "int", "float", "[key]"} or step.startswith(("dict[", "list[", "constrained-"))
