"""What ``show`` shows."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lvmbench.api.description import Description, Option
from lvmbench.api.survey import found
from lvmbench.errors import UserError, nearest
from lvmbench.execution.asking import Mistake, Question
from lvmbench.execution.executor import Tell
from lvmbench.registry.catalogue import Catalogue, Entry, PluginProblem

if TYPE_CHECKING:
    from lvmbench.evaluator import Evaluator

SHOWN = f"{__name__}:shown"
_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def shown(question: Question, tell: Tell) -> tuple[Sequence[PluginProblem], list[RenderableType]] | Mistake:
    """Everything a user needs of what has a name, of a kind where one is given, for so many columns of text;
    and what is wrong with plugins.
    """
    answer: tuple[Sequence[PluginProblem], list[RenderableType]] | Mistake = found(question, tell, _shown)
    return answer


def _shown(
    catalogue: Catalogue, about: tuple[str | None, str, int]
) -> tuple[Sequence[PluginProblem], list[RenderableType]]:
    kind, name, width = about
    entries = [e for e in catalogue.entries(kind) if e.name == name]
    if not entries:
        known = {e.name for e in catalogue.entries(kind)}
        raise UserError(f"unknown {kind or 'component or suite'} '{name}'{nearest(name, known)}")
    return catalogue.problems, [piece for entry in entries for piece in _page(entry, catalogue, width)]


def _page(entry: Entry, catalogue: Catalogue, width: int) -> Iterator[RenderableType]:
    yield Text.assemble((f"{entry.kind} {entry.name}", "bold"), f" ({entry.distribution} {entry.version})")
    if entry.kind == "suite":
        yield Text(entry.path.read_text(encoding="utf-8"), no_wrap=True)
        return
    it = Description.of(entry)
    yield _readable(inspect.cleandoc(it.component.__doc__ or ""), width)
    yield ""
    yield _options(it.options)
    yield ""
    if entry.kind == "evaluator":
        yield from _metrics(it.component)
        yield ""
    for what, names in (("provides", sorted(it.provides())), ("requires", it.requires)):
        if names:
            yield f"{what}: {', '.join(names)}"
    yield f"version: {it.component.version}"
    yield from _relations(entry, catalogue)


def _relations(entry: Entry, catalogue: Catalogue) -> Iterator[str]:
    from lvmbench.cli.relations import boards, goes_with

    for kind, fits, rest in goes_with(entry, catalogue):
        yield f"goes with {kind}: {', '.join(fits) or 'none'}"
        yield from (f"  not with {name}" for name in rest)
    if names := boards(entry):
        yield f"boards: {', '.join(names)}"


def _readable(documentation: str, width: int) -> str:
    """Documentation without the markup of its formulas."""
    text = re.sub(r":math:`([^`]*)`", r"\1", documentation)
    text = re.sub(r"^\.\. math:: *", "    ", text, flags=re.MULTILINE).replace("``", "")
    return "\n".join(_filled(line, width) for line in _joined(text.splitlines()))


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


def _filled(line: str, width: int) -> str:
    """The line, broken to a width; what goes on of an item stands further in."""
    inset = " " * _indent(line)
    further = inset + "    " if inset else ""
    return (
        textwrap.fill(line, width, subsequent_indent=further, break_on_hyphens=False, break_long_words=False)
        if line
        else ""
    )


def _options(options: Sequence[Option]) -> RenderableType:
    if not options:
        return "no options"
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
    return table


def _type(option: Option) -> str:
    if option.choices:
        return f"one of {', '.join(option.choices)}"
    return " or ".join("none" if name == "NoneType" else name for name in option.types)


def _metrics(evaluator: type[Evaluator]) -> Iterator[RenderableType]:
    """What the evaluator measures, and what of it boards show."""
    table = Table(
        "metric", "title", "unit", "better", "meaning", box=None, header_style="bold", pad_edge=False
    )
    for name, metric in evaluator.metrics.items():
        timed = "; by the clock" if metric.timed else ""
        words = (name, metric.title, metric.unit, metric.better, metric.meaning + timed)
        table.add_row(*map(Text, words))
    yield table
    if evaluator.board:
        yield f"\nboards show: {', '.join(evaluator.board)}"
