"""What ``show`` shows."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lvmbench.api.description import Description, Option
from lvmbench.api.progress import console
from lvmbench.registry.catalogue import Catalogue, Entry

if TYPE_CHECKING:
    from lvmbench.evaluator import Evaluator

_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def show_entry(entry: Entry, catalogue: Catalogue) -> None:
    """Everything a user needs of one component or suite."""
    console.print(Text(f"{entry.kind} {entry.name}", style="bold"), f"({entry.distribution} {entry.version})")
    if entry.kind == "suite":
        # as it is: in brackets are options of components, and no styles
        console.print(Text(entry.path.read_text(encoding="utf-8")), soft_wrap=True)
        return
    it = Description.of(entry)
    console.print(_readable(inspect.cleandoc(it.component.__doc__ or "")))
    console.print()
    _options(it.options)
    console.print()
    if entry.kind == "evaluator":
        _metrics(it.component)
        console.print()
    for what, names in (("provides", sorted(it.provides())), ("requires", it.requires)):
        if names:
            console.print(f"{what}: {', '.join(names)}")
    console.print(f"version: {it.component.version}")
    _relations(entry, catalogue)


def _relations(entry: Entry, catalogue: Catalogue) -> None:
    from lvmbench.cli.relations import boards, goes_with

    for kind, fits, rest in goes_with(entry, catalogue):
        console.print(f"goes with {kind}: {', '.join(fits) or 'none'}")
        for name in rest:
            console.print(f"  not with {name}")
    if names := boards(entry):
        console.print(f"boards: {', '.join(names)}")


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


def _options(options: Sequence[Option]) -> None:
    if not options:
        console.print("no options")
        return
    varies = any(option.varies for option in options)
    heads = ["option", "type", "range", "default", *["in a pack"] * varies]
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    for option in options:
        missing = Text("required", style="yellow")
        limits = ", ".join(f"{_SIGNS[sign]} {limit}" for sign, limit in option.limits)
        table.add_row(
            option.name,
            _type(option),
            Text(limits),
            missing if option.default is None else Text(option.default),
            *["may vary" if option.varies else ""] * varies,
        )
    console.print(table)


def _type(option: Option) -> str:
    if option.choices:
        return f"one of {', '.join(option.choices)}"
    return " or ".join("none" if name == "NoneType" else name for name in option.types)


def _metrics(evaluator: type[Evaluator]) -> None:
    """What the evaluator measures, and what of it boards show."""
    table = Table(
        "metric", "title", "unit", "better", "meaning", box=None, header_style="bold", pad_edge=False
    )
    for name, metric in evaluator.metrics.items():
        timed = "; by the clock" if metric.timed else ""
        words = (name, metric.title, metric.unit, metric.better, metric.meaning + timed)
        table.add_row(*map(Text, words))
    console.print(table)
    if evaluator.board:
        console.print(Text(f"\nboards show: {', '.join(evaluator.board)}"))
