"""Choices of options to try a component with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from lvmbench.options import APART, ENOUGH, MATCHED, OptionError, options_model, resolve
from lvmbench.registry.names import Ref

LITTLE = 1e-3
"""How far inside an open end of a range a number is tried."""


def variants(name: str, component: type, base: dict[str, Any]) -> list[Ref]:
    """The base options, and each other value of every option that has named choices."""
    chosen = [
        {**base, option: value}
        for option, field in options_model(component).model_fields.items()
        for value in _choices(field)
        if option not in base and value != field.default
    ]
    return [Ref(name, options) for options in (base, *chosen)]


def small(component: type, limit: int) -> dict[str, Any]:
    """Options that make a component small:
    whole numbers of at most ``limit``, as far as their ranges allow.
    """
    found = {}
    for option, field in options_model(component).model_fields.items():
        free = field.annotation is int and MATCHED not in field.metadata
        if ENOUGH in field.metadata or (free and not field.is_required() and field.default > limit):
            found[option] = max([limit, *(low for low in _lowest(field))])
    return {option: value for option, value in found.items() if value < _usual(component, option)}


def ends(component: type) -> Iterator[tuple[str, Any]]:
    """Each option with each end of its range, and each of its named choices."""
    for option, field in options_model(component).model_fields.items():
        if field.annotation in (int, float) or ENOUGH in field.metadata:
            yield from ((option, value) for value in (*_lowest(field), *_highest(field)))
        yield from ((option, value) for value in _choices(field))


def several(component: type, ref: Ref, option: str) -> list[float]:
    """Three values of a number, as far as its range allows: the usual one and others, none of them 0."""
    usual = abs(ref.options.get(option, options_model(component).model_fields[option].default)) or 1.0
    tried = [{**ref.options, option: usual * factor} for factor in (1.0, 0.5, 2.0, 0.25)]
    return [options[option] for options in tried if _allowed(component, options)][:3]


def _allowed(component: type, options: Mapping[str, Any]) -> bool:
    try:
        return bool(resolve(component, options, component.__name__))
    except OptionError:
        return False


def required(component: type) -> list[str]:
    """The options without a default."""
    return [name for name, f in options_model(component).model_fields.items() if f.is_required()]


def _usual(component: type, option: str) -> Any:
    """The default of a number, or for one that is found from the data more than is ever tried."""
    default = options_model(component).model_fields[option].default
    return _PLENTY if default is None else default


def _choices(field: FieldInfo) -> list[Any]:
    if APART in field.metadata:
        return []
    if field.annotation is bool:
        return [False, True]
    return list(get_args(field.annotation)) if get_origin(field.annotation) is Literal else []


def _step(field: FieldInfo) -> Any:
    return 1 if field.annotation is int else LITTLE


def _bounds(field: FieldInfo, attribute: str) -> list[Any]:
    return [v for rule in field.metadata if (v := getattr(rule, attribute, None)) is not None]


def _lowest(field: FieldInfo) -> list[Any]:
    return [*_bounds(field, "ge"), *(v + _step(field) for v in _bounds(field, "gt"))]


def _highest(field: FieldInfo) -> list[Any]:
    return [*_bounds(field, "le"), *(v - _step(field) for v in _bounds(field, "lt"))]


def narrowed(component: type, option: str, broken: Any, works: Callable[[Any], bool]) -> str:
    """The annotation of an option that has none of the values from a broken end of its range
    to the first that works.

    >>> from lvmbench import Count
    >>> class Deep:
    ...     def __init__(self, *, layers: Count = 5) -> None: ...
    >>> narrowed(Deep, "layers", 1, lambda layers: layers > 2)
    'Annotated[int, Field(ge=3)]'
    """
    field = options_model(component).model_fields[option]
    if choices := _choices(field):
        return f"Literal[{', '.join(repr(choice) for choice in choices if choice != broken)}]"
    low = broken in _lowest(field)
    limit = _first_that_works(broken, _usual(component, option), works)
    rules = {name: values[0] for name in _RULES if (values := _bounds(field, name))}
    for name in ("ge", "gt") if low else ("le", "lt"):
        rules.pop(name, None)
    rules["ge" if low else "le"] = limit
    written = ", ".join(f"{name}={rules[name]!r}" for name in _RULES if name in rules)
    return f"Annotated[{field.annotation.__name__}, Field({written})]"  # type: ignore[union-attr]


_RULES = ("ge", "gt", "le", "lt", "allow_inf_nan")
_HALVINGS = 20
_PLENTY = 1000


def _first_that_works(broken: Any, default: Any, works: Callable[[Any], bool]) -> Any:
    """The value nearest to a broken one, on the way to the default.

    Of numbers that are not whole, to two digits.
    """
    for _ in range(_HALVINGS):
        middle = (broken + default) // 2 if isinstance(default, int) else _rounded((broken + default) / 2)
        if middle in (broken, default):
            break
        broken, default = (broken, middle) if works(middle) else (middle, default)
    return default


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
