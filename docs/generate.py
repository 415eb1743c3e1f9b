"""The pages that are made from docstrings and from the command line's help.

``python docs/generate.py [DIR]`` puts them and the pages of this folder into ``build/docs``, of which zensical makes the site.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from lvmbench.cli.app import app
from lvmbench.combinations.parts import DECLARED
from lvmbench.divergence import posterior_type
from lvmbench.errors import LvmbenchError
from lvmbench.kinds import COMPONENTS
from lvmbench.options import options_model
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.loader import load_catalogue

TITLES = {kind: f"{kind.capitalize()}s" for kind in (*COMPONENTS, "suite")} | {"dataset": "Data sets"}
SECTION = re.compile(r"^(References|Arguments|Example|Returns):$", re.MULTILINE)
WORK = re.compile(r".+ \((?P<authors>.+), (?P<year>\d{4})\),.*? (?P<link>https?://[^\s,]+)")
NOTE = "*Made from the {}.*\n"


def pages() -> dict[str, str]:
    """Each generated page by its path below ``docs``."""
    catalogue = load_catalogue()
    own = [entry for entry in catalogue.entries() if entry.plugin == "reference"]
    found = {"cli.md": cli(), "components/index.md": index(own)}
    for kind in COMPONENTS:
        parts = [component(e, catalogue) for e in own if e.kind == kind]
        found[f"components/{kind}s.md"] = _page(TITLES[kind], parts, "docstrings of the components")
    suites = [_suite(entry) for entry in own if entry.kind == "suite"]
    return found | {"components/suites.md": _page("Suites", suites, "files of the suites")}


def _page(title: str, parts: Iterable[str], source: str) -> str:
    return "\n".join([f"# {title}\n", NOTE.format(source), *parts])


def index(entries: Iterable[Entry]) -> str:
    """All components in a table for each kind, with the work that each comes from; the suites in a list."""
    lines = [
        "# Components\n",
        "What comes with lvmbench. A plugin adds its own: `lvmbench list` shows all, `lvmbench show NAME` one.",
    ]
    for kind, group in itertools.groupby(entries, lambda entry: entry.kind):
        rows = _listed if kind == "suite" else _tabled
        lines += [f"\n## {TITLES[kind]}\n", *rows(group)]
    return "\n".join(lines) + "\n"


def _listed(entries: Iterable[Entry]) -> Iterator[str]:
    yield from (f"- {_link(entry)}: {entry.summary}" for entry in entries)


def _tabled(entries: Iterable[Entry]) -> Iterator[str]:
    yield from ("| name | what it is | from |", "| --- | --- | --- |")
    for entry in entries:
        text, sections = _sections(inspect.cleandoc(entry.load().__doc__ or ""))
        what = _code(markdown(text.partition("\n")[0]))
        yield f"| {_link(entry)} | {what} | {_origin(sections['References'])} |"


def _origin(references: str) -> str:
    """The authors and the year of the first work, with its link."""
    first, *_ = _works(references)
    if found := WORK.match(first):
        return f"[{found['authors']}, {found['year']}]({found['link']})"
    raise ValueError(f"a reference is 'Title (Authors, Year), link', not {first!r}")


def component(entry: Entry, catalogue: Catalogue) -> str:
    """One component: formula, references, options, what it goes with, an example."""
    cls = entry.load()
    text, sections = _sections(inspect.cleandoc(cls.__doc__ or ""))
    parts = [f"## `{entry.name}` {{ #{entry.name} }}", markdown(text).strip()]
    parts += [_references(sections["References"])] if "References" in sections else []
    parts += [_options(cls, _arguments(sections.get("Arguments", "")))]
    parts += [_metrics(cls)] if entry.kind == "evaluator" else []
    parts += [_files(cls)] if entry.kind == "dataset" and cls.files else []
    parts += [_partners(entry, catalogue)]
    parts += [f"```pycon\n{sections['Example']}\n```"] if "Example" in sections else []
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown(text: str) -> str:
    """A docstring's text as markdown: formulas between dollar signs, names in backticks."""
    text = re.sub(r"^\.\. math:: *((?:.+\n?)(?:[ \t]+.+\n?)*)", _display, text, flags=re.MULTILINE)
    text = re.sub(r":math:`([^`]*)`", lambda m: f"${' '.join(m[1].split())}$", text)
    return text.replace("``", "`")


def _display(match: re.Match[str]) -> str:
    return f"$$\n{' '.join(match[1].split())}\n$$\n\n"


def _code(text: str) -> str:
    """A line of text for a table's cell."""
    return text.replace("``", "`").replace("|", "\\|")


def _sections(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first section, and each section with its indent taken away."""
    head, *rest = SECTION.split(text)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return head.strip(), {name: inspect.cleandoc("\n" + body) for name, body in pairs}


def _references(text: str) -> str:
    linked = [re.sub(r"https?://[^\s,]+", r"<\g<0>>", markdown(work)) for work in _works(text)]
    return "**References**\n\n" + "\n".join(f"- {work}" for work in linked)


def _works(text: str) -> list[str]:
    return [" ".join(work.split()) for work in re.split(r";\n", text)]


def _arguments(text: str) -> dict[str, str]:
    """What each argument means."""
    found = re.findall(r"^(\w+): ((?:.+\n?)(?:[ ]+.+\n?)*)", text, re.MULTILINE)
    return {name: markdown(" ".join(meaning.split())) for name, meaning in found}


def _options(cls: type, meanings: dict[str, str]) -> str:
    fields = options_model(cls).model_fields
    if not fields:
        return "**Options**: none."
    lines = []
    for name, field in fields.items():
        default = "required" if field.is_required() else f"default `{_value(field.default)}`"
        kind = ", ".join(filter(None, [_type(field.annotation), _limits(field.metadata), default]))
        lines.append(f"- `{name}` ({kind}): {meanings.get(name, '')}")
    return "**Options**\n\n" + "\n".join(lines)


def _value(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{a}`" for a in get_args(annotation))
    words = {
        "int": "whole number",
        "float": "number",
        "str": "text",
        "bool": "true or false",
        "NoneType": "none",
    }
    return " or ".join(words.get(name, name) for name in _types(annotation))


def _types(annotation: Any) -> Iterator[str]:
    """The names of an annotation's types, whatever rules they have."""
    if isinstance(annotation, type):
        yield annotation.__name__
    elif get_origin(annotation) is Annotated:
        yield from _types(get_args(annotation)[0])
    else:
        for inner in get_args(annotation):
            yield from _types(inner)


def _limits(metadata: Iterable[Any]) -> str:
    signs = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    rules = [(word, getattr(rule, key, None)) for rule in metadata for key, word in signs.items()]
    return ", ".join(f"{word} {limit}" for word, limit in rules if limit is not None)


def _metrics(cls: type[Any]) -> str:
    rows = [f"| `{name}` | {m.unit} | {m.better} | {_code(m.meaning)} |" for name, m in cls.metrics.items()]
    return "\n".join(["| metric | unit | better | meaning |", "| --- | --- | --- | --- |", *rows])


def _files(cls: type[Any]) -> str:
    lines = [f"- `{file.path}` from <{file.url}>" for file in cls.files]
    return "**Raw files**, fetched at the first use or by `lvmbench data fetch`\n\n" + "\n".join(lines)


def _partners(entry: Entry, catalogue: Catalogue) -> str:
    """What it asks of the others of its combination and who has that; what it offers, and to whom that is too little."""
    asked = [
        f"- `{need}`: {', '.join(_offering(need, catalogue, entry.kind == 'evaluator')) or 'as the data set has it'}"
        for need in _needs(entry)
    ]
    barred = [f"{_link(other)} (`{need}`)" for other, need in _barred(entry, catalogue)]
    offers = sorted(_offers(entry))
    parts = (
        ["**Requires**, with its options at their defaults, and who provides it\n\n" + "\n".join(asked)]
        if asked
        else []
    )
    parts += [f"**Provides** {', '.join(f'`{word}`' for word in offers)}."] if offers else []
    parts += [f"**Does not go with** {', '.join(barred)}."] if barred else []
    parts += ["**Requires** nothing of the others."] if not asked and entry.kind != "dataset" else []
    return "\n\n".join([*parts, f"Version {entry.load().version}."])


def _link(entry: Entry) -> str:
    return f"[`{entry.name}`]({entry.kind}s.md#{entry.name})"


def _reference(catalogue: Catalogue, kind: str | None = None) -> list[Entry]:
    return [e for e in catalogue.entries(kind) if e.plugin == "reference" and e.kind != "suite"]


def _needs(entry: Entry) -> list[str]:
    """The class's requirements, or those of an instance where it needs nothing to be made."""
    cls = entry.load()
    try:
        return sorted(cls().requires)
    except TypeError:
        return sorted(cls.requires)


def _barred(entry: Entry, catalogue: Catalogue) -> Iterator[tuple[Entry, str]]:
    """Who requires what this component does not provide."""
    if _depends(entry):
        return
    for other in _reference(catalogue):
        missing = [
            n
            for n in _needs(other)
            if n.startswith(f"{entry.kind}.")
            and n.partition(".")[2] not in _offers(entry, other.kind == "evaluator")
        ]
        yield from ((other, need) for need in missing[:1])


def _depends(entry: Entry) -> bool:
    """Whether what it offers is only known with its data or its partners."""
    if entry.kind == "posterior":
        return entry.load().distribution is None
    return entry.kind == "dataset" and _loaded(entry.load()) is None


@functools.cache
def _loaded(cls: type[Any]) -> frozenset[str] | None:
    """What a data set offers, where it can be loaded without files and options."""
    try:
        return None if cls.files else cls().load().capabilities
    except (TypeError, LvmbenchError):
        return None


def _offers(entry: Entry, measured: bool = False) -> set[str]:
    """What it provides, with its options at their defaults, in training or when measured."""
    cls = entry.load()
    if entry.kind == "objective":
        made = cls()
        return set(made.provides) | {word for word in DECLARED if getattr(made, word)}
    distribution = getattr(cls, "distribution", None)
    distribution = (measured and distribution and distribution.law_type) or distribution
    found = set(cls.provides) | set(distribution.traits if distribution else ())
    found |= {distribution.support} if distribution and entry.kind == "prior" else set()
    found |= {"slope"} if "density" in found and entry.kind == "posterior" else set()
    return found | (_loaded(cls) or set()) if entry.kind == "dataset" else found


def _offering(need: str, catalogue: Catalogue, measured: bool) -> Iterator[str]:
    """The reference components that provide ``kind.word``."""
    kind, _, word = need.partition(".")
    if kind == "model":
        yield from _pairs(catalogue) if word == "exact_posterior" else ["pairs with a registered formula"]
        return
    for entry in _reference(catalogue, kind):
        if word in _offers(entry, measured):
            yield _link(entry)
        elif _depends(entry):
            yield f"{_link(entry)} ({'with the right options' if kind == 'dataset' else 'as its pair allows'})"


def _pairs(catalogue: Catalogue) -> Iterator[str]:
    for prior, decoder in itertools.product(_reference(catalogue, "prior"), _reference(catalogue, "decoder")):
        if posterior_type(prior.load().distribution, decoder.load()):
            yield f"{_link(prior)} with {_link(decoder)}"


def _suite(entry: Entry) -> str:
    return f"## `{entry.name}` {{ #{entry.name} }}\n\n```yaml\n{entry.path.read_text()}```\n"


def cli() -> str:
    """Every command with its help."""
    root: Any = typer.main.get_command(app)
    parts = list(_commands(root, "lvmbench"))
    return _page(
        "Command line",
        [f"{root.help}\n", *parts],
        "help of each command; `lvmbench COMMAND --help` shows the same",
    )


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield _command(command, f"{path} {name}")


def _command(command: Any, path: str) -> str:
    context = command.context_class(command, info_name=path)
    text, _, example = command.help.partition("Example: ")
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [p.get_help_record(context) for p in command.params]
    rows = [f"| `{name}` | {_cell(meaning)} |" for name, meaning in filter(None, records)]
    table = ["| argument | meaning |", "| --- | --- |", *rows] if rows else []
    parts = [f"## {path}", text.strip(), f"```text\n{usage}\n```", "\n".join(table)]
    parts += [f"Example: `{example.strip()}`"] if example else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _cell(text: str) -> str:
    return _code(" ".join(text.split())).replace("[", "\\[").replace("<", "&lt;").replace("*", "\\*")


def main() -> None:
    """Put every page, written and generated, into a folder that holds nothing else."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(__file__).parent, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
