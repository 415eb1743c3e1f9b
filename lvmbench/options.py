"""Options are the keyword-only arguments of a component's ``__init__``, validated from their annotations."""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from lvmbench.errors import UserError, nearest

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
Size = Annotated[int, Field(ge=0)]
"""A whole number of at least 0."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above 0."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number of at least 0."""
Probability = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""


def sizes_of(text: str) -> tuple[int, ...]:
    """The sizes that an option of type `Sizes` holds.

    >>> sizes_of("32 8")
    (32, 8)
    """
    return tuple(int(size) for size in text.split())


def _are_sizes(text: object) -> object:
    if not isinstance(text, str) or not re.fullmatch(r"[1-9][0-9]*( [1-9][0-9]*)*", text):
        raise ValueError('should be sizes with a space between, as in 32 8, or one in quotes, as in "32"')
    return text


Sizes = Annotated[str, BeforeValidator(_are_sizes)]
"""Whole numbers of at least 1, as text: ``32 8``. A list would be a grid, and a bare number a count."""
BASE = "base"
"""Marks an option that is another component."""


def _is_name(value: object) -> object:
    if not (isinstance(value, str) and value):
        raise ValueError("should be the name of a component, with its options in brackets")
    return value


Base = Annotated[Any, BeforeValidator(_is_name), BASE]
"""Another component of the same kind, written as its name with options: ``gaussian[hidden=64]``. What
``__init__`` is given is the component itself, built with the same arguments.
"""
APART = "apart"
"""Marks an option whose choices have tests of their own,
so that the checks of a component keep to its default.
"""
MATCHED = "matched"
"""Marks an option that the checks of a component leave as it is."""
Matched = Annotated[Count, MATCHED]
"""A whole number of at least 1 that must be the same in two parts of a combination."""

Precision = Annotated[Literal["highest", "high", "medium"], APART]
"""How exact products of matrices are: in float32, or of numbers that are rounded to TF32 or to bfloat16."""
VARIES = "varies"
"""Marks a number in which the runs of one pack may differ."""
Number = TypeVar("Number")
Varying = Annotated[Number, VARIES]
"""A number that changes no shape, and decides nothing but by being 0 or not: ``Varying[Positive]``. Runs that
differ in such numbers alone train in one pack, as its seeds do, so that it has to be kept in a tensor: in a
buffer that is not stored (``persistent=False``), or in what it is the start of.
"""

ENOUGH = "enough"
"""Marks a whole number that is found from the data where it is not given."""
Enough = Annotated[int | None, Field(ge=2), ENOUGH]
"""A whole number of at least 2, or as many as there are data for."""


class OptionError(UserError):
    """An option that does not exist, or has the wrong type or range."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


@functools.cache
def options_model(component: type) -> type[BaseModel]:
    """The pydantic model of a component's options."""
    signature = inspect.signature(component.__init__, eval_str=True)  # type: ignore[misc]
    fields: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, protected_namespaces=())
    with warnings.catch_warnings():  # an option may be named as a method of pydantic is: "copy"
        warnings.simplefilter("ignore", UserWarning)
        return create_model(component.__name__ + "Options", __config__=config, **fields)


def resolve(component: type, options: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Check the options given to a component and fill in its defaults; raises `OptionError`.

    >>> class Mixture:
    ...     def __init__(self, *, components: Count = 10) -> None: ...
    >>> resolve(Mixture, {}, "prior 'mixture'")
    {'components': 10}
    >>> resolve(Mixture, {"components": 0}, "mixture")
    Traceback (most recent call last):
    lvmbench.options.OptionError: mixture: option 'components' should be greater than or equal to 1, got 0
    """
    model = options_model(component)
    try:
        return dict(model(**options))
    except ValidationError as error:
        raise _first(error, model, label) from None


def bases(component: type) -> tuple[str, ...]:
    """The options that are other components."""
    return _bases(component)


@functools.cache
def _bases(component: type) -> tuple[str, ...]:
    fields = options_model(component).model_fields
    return tuple(name for name, field in fields.items() if BASE in field.metadata)


def varying(component: type) -> list[str]:
    """The options in which the runs of one pack may differ."""
    return [name for name, field in options_model(component).model_fields.items() if VARIES in field.metadata]


def given(component: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that differ from the component's defaults: what a name shows."""
    fields = options_model(component).model_fields
    return {k: v for k, v in options.items() if fields[k].is_required() or fields[k].default != v}


def _first(error: ValidationError, model: type[BaseModel], label: str) -> OptionError:
    detail = error.errors()[0]
    option, rule, value = str(detail["loc"][0]), detail["msg"], detail["input"]
    if detail["type"] == "extra_forbidden":
        return OptionError(option, f"{label} has no option '{option}'{nearest(option, model.model_fields)}")
    if detail["type"] == "missing":
        return OptionError(option, f"{label} needs option '{option}'; write {option}=VALUE in its brackets")
    rule = rule.removeprefix("Value error, ").removeprefix("Input ")
    return OptionError(option, f"{label}: option '{option}' {rule[0].lower()}{rule[1:]}, got {value!r}")
