"""What ``show`` shows."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from rich.table import Table
from rich.text import Text

from lvmbench.api.progress import console
from lvmbench.options import options_model
from lvmbench.registry.catalogue import Catalogue, Entry

if TYPE_CHECKING:
    from lvmbench.evaluator import Evaluator


def show_entry(entry: Entry, catalogue: Catalogue) -> None:
    """Everything a user needs of one component or suite."""
    console.print(Text(f"{entry.kind} {entry.name}", style="bold"), f"({entry.distribution} {entry.version})")
    if entry.kind == "suite":
        console.print(entry.path.read_text(encoding="utf-8"))
        return
    component = entry.load()
    console.print(_readable(inspect.cleandoc(component.__doc__ or "")))
    console.print()
    _options(component)
    console.print()
    if entry.kind == "evaluator":
        _metrics(component)
        console.print()
    for what in ("provides", "requires"):
        names = sorted(getattr(component, what))
        if names:
            console.print(f"{what}: {', '.join(names)}")
    console.print(f"version: {component.version}")
    _relations(entry, catalogue)


def _relations(entry: Entry, catalogue: Catalogue) -> None:
    from lvmbench.cli.relations import boards, goes_with

    for kind, fits, rest in goes_with(entry, catalogue):
        console.print(f"goes with {kind}: {', '.join(fits) or 'none'}")
        for name in rest:
            console.print(f"  not with {name}")
    if found := boards(entry):
        console.print(f"boards: {', '.join(found)}")


def _readable(documentation: str) -> str:
    """Documentation without the markup of its formulas."""
    text = re.sub(r":math:`([^`]*)`", r"\1", documentation)
    text = re.sub(r"^\.\. math:: *", "    ", text, flags=re.MULTILINE).replace("``", "")
    return "\n".join(_filled(line) for line in _joined(text.splitlines()))


def _joined(lines: Iterable[str]) -> list[str]:
    """Each paragraph and each item of a list as one line; examples as they are."""
    joined, section = [""], ""
    for line in lines:
        section = line if line.endswith(":") and _indent(line) == 0 else section
        if section != "Example:" and _goes_on(joined[-1], line, section):
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
    return joined[1:]


def _goes_on(before: str, line: str, section: str) -> bool:
    """Whether a line goes on with what the line before it says."""
    if not (before and line) or (section == before):
        return False
    listed = section == "References:" and not before.endswith(";")
    return _indent(line) > _indent(before) > 0 or (
        _indent(line) == _indent(before) and (_indent(line) == 0 or listed)
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _filled(line: str) -> str:
    """The line, broken to the width of the terminal; what goes on of an item stands further in."""
    inset = " " * _indent(line)
    further = inset + "    " if inset else ""
    return (
        textwrap.fill(
            line, console.width, subsequent_indent=further, break_on_hyphens=False, break_long_words=False
        )
        if line
        else ""
    )


def _options(component: type) -> None:
    fields = options_model(component).model_fields
    if not fields:
        console.print("no options")
        return
    table = Table("option", "type", "range", "default", box=None, header_style="bold", pad_edge=False)
    for name, field in fields.items():
        default = Text("required", style="yellow") if field.is_required() else Text(_value(field.default))
        table.add_row(name, _type(field.annotation), Text(_range(field)), default)
    console.print(table)


def _metrics(evaluator: type[Evaluator]) -> None:
    """What the evaluator measures."""
    table = Table("metric", "unit", "better", "meaning", box=None, header_style="bold", pad_edge=False)
    for name, metric in evaluator.metrics.items():
        timed = "; by the clock" if metric.timed else ""
        table.add_row(Text(name), Text(metric.unit), Text(metric.better), Text(metric.meaning + timed))
    console.print(table)


def _value(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(annotation)))
    names = [getattr(a, "__name__", str(a)) for a in get_args(annotation)] or [
        getattr(annotation, "__name__", str(annotation))
    ]
    return " or ".join("none" if name == "NoneType" else name for name in names)


def _range(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        (sign, getattr(rule, attribute, None)) for rule in field.metadata for attribute, sign in signs.items()
    ]
    return ", ".join(f"{sign} {limit}" for sign, limit in limits if limit is not None)
