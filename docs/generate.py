"""The pages that are made from docstrings and from the command line's help.

``python docs/generate.py [DIR]`` puts them and the pages of this folder into ``build/docs``, of which
zensical makes the site.
"""

from __future__ import annotations

import functools
import itertools
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from lvmbench.api.description import Description, Option
from lvmbench.cli.app import app
from lvmbench.divergence import posterior_type
from lvmbench.kinds import COMPONENTS, KINDS
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.loader import load_catalogue

TITLES = {kind: f"{kind.capitalize()}s" for kind in KINDS} | {"dataset": "Data sets"}
WORDS = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false", "NoneType": "none"}
SIGNS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
WORK = re.compile(r".+ \((?P<authors>.+), (?P<year>\d{4})\),.*? (?P<link>https?://[^\s,]+)")
NOTE = "*Made from the {}.*\n"


def pages() -> dict[str, str]:
    """Each generated page by its path below ``docs``."""
    catalogue = load_catalogue()
    own = [entry for entry in catalogue.entries() if entry.plugin == "reference"]
    found = {"cli.md": cli(), "components/index.md": index(own)}
    for kind in (*COMPONENTS, "tracker"):
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
        "What comes with lvmbench. A plugin adds its own: `lvmbench list` has all, `lvmbench show NAME` one.",
    ]
    for kind, group in itertools.groupby(entries, lambda entry: entry.kind):
        rows = _listed if kind == "suite" else _tabled
        lines += [f"\n## {TITLES[kind]}\n", *rows(group)]
    return "\n".join(lines) + "\n"


def _listed(entries: Iterable[Entry]) -> Iterator[str]:
    yield from (f"- {_link(entry)}: {entry.summary}" for entry in entries)


def _tabled(entries: Iterable[Entry]) -> Iterator[str]:
    yield from ("| name | what it is | from |", "| --- | --- | --- |")
    for it in map(_described, entries):
        what = _code(" ".join(markdown(it.text.partition("\n\n")[0]).split()))
        yield f"| {_link(it.entry)} | {what} | {_origin(it.references[0])} |"


def _origin(reference: str) -> str:
    """The authors and the year of a work, with its link."""
    if found := WORK.match(reference):
        return f"[{found['authors']}, {found['year']}]({found['link']})"
    raise ValueError(f"a reference is 'Title (Authors, Year), link', not {reference!r}")


def component(entry: Entry, catalogue: Catalogue) -> str:
    """One component: formula, references, options, what it goes with, an example."""
    it = Description.of(entry)
    parts = [f"## `{entry.name}` {{ #{entry.name} }}", markdown(it.text).strip()]
    parts += [_references(it.references)] if it.references else []
    parts += [_options(it.options)]
    parts += [_metrics(it.component)] if entry.kind == "evaluator" else []
    parts += [_files(it.component)] if entry.kind == "dataset" and it.component.files else []
    parts += [_partners(it, catalogue)]
    parts += [f"```pycon\n{it.example}\n```"] if it.example else []
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


def _references(works: Iterable[str]) -> str:
    linked = [re.sub(r"https?://[^\s,]+", r"<\g<0>>", markdown(work)) for work in works]
    return "**References**\n\n" + "\n".join(f"- {work}" for work in linked)


def _options(options: Iterable[Option]) -> str:
    lines = [f"- `{o.name}` ({_kind(o)}): {markdown(o.meaning)}" for o in options]
    return "**Options**\n\n" + "\n".join(lines) if lines else "**Options**: none."


def _kind(option: Option) -> str:
    """What values an option takes, and its default."""
    choices = ", ".join(f"`{choice}`" for choice in option.choices)
    types = f"one of {choices}" if choices else " or ".join(WORDS.get(name, name) for name in option.types)
    limits = [f"{SIGNS[sign]} {limit}" for sign, limit in option.limits]
    default = "required" if option.default is None else f"default `{option.default}`"
    return ", ".join([types, *limits, default, *["may vary in a pack"] * option.varies])


def _metrics(cls: type[Any]) -> str:
    rows = [
        f"| `{name}` | {_code(m.title)} | {m.unit} | {m.better} | {_code(m.meaning)} |"
        for name, m in cls.metrics.items()
    ]
    return "\n".join(["| metric | title | unit | better | meaning |", "| --- " * 5 + "|", *rows])


def _files(cls: type[Any]) -> str:
    lines = [
        f"- `{file.path}` from <{file.url}>" + (f", made by `{file.made}`" if file.made else "")
        for file in cls.files
    ]
    return "**Raw files**, fetched at the first use or by `lvmbench data fetch`\n\n" + "\n".join(lines)


def _partners(it: Description, catalogue: Catalogue) -> str:
    """What it asks of the others of its combination and who has that.

    What it offers, and to whom that is too little.
    """
    kind, asked = it.entry.kind, it.requires
    offering = {need: ", ".join(_offering(need, catalogue, kind == "evaluator")) for need in asked}
    lines = [f"- `{need}`: {who or 'as the data set has it'}" for need, who in offering.items()]
    barred = [f"{_link(other.entry)} (`{need}`)" for other, need in _barred(it, catalogue)]
    heading = "**Requires**, with its options at their defaults, and who provides it\n\n"
    parts = [heading + "\n".join(lines)] if asked else []
    offers = ", ".join(f"`{word}`" for word in sorted(it.provides()))
    parts += [f"**Provides** {offers}."] if offers else []
    parts += [f"**Does not go with** {', '.join(barred)}."] if barred else []
    parts += ["**Requires** nothing of the others."] if not asked and kind != "dataset" else []
    return "\n\n".join([*parts, f"Version {it.component.version}."])


def _link(entry: Entry) -> str:
    return f"[`{entry.name}`]({entry.kind}s.md#{entry.name})"


def _reference(catalogue: Catalogue, kind: str | None = None) -> list[Description]:
    return [_described(e) for e in catalogue.entries(kind) if e.plugin == "reference" and e.kind != "suite"]


_described = functools.cache(Description.of)


def _barred(it: Description, catalogue: Catalogue) -> Iterator[tuple[Description, str]]:
    """Who requires what this component does not provide."""
    if it.depends:
        return
    for other in _reference(catalogue):
        provided = {
            f"{it.entry.kind}.{word}" for word in it.provides(measured=other.entry.kind == "evaluator")
        }
        needs = [need for need in other.requires if need.startswith(f"{it.entry.kind}.")]
        yield from ((other, need) for need in [need for need in needs if need not in provided][:1])


def _offering(need: str, catalogue: Catalogue, measured: bool) -> Iterator[str]:
    """The reference components that provide ``kind.word``."""
    kind, _, word = need.partition(".")
    if kind == "model":
        yield from _pairs(catalogue) if word == "exact_posterior" else ["pairs with a registered formula"]
        return
    for it in _reference(catalogue, kind):
        if word in it.provides(measured=measured):
            yield _link(it.entry)
        elif it.depends:
            proviso = "with the right options" if kind == "dataset" else "as its pair allows"
            yield f"{_link(it.entry)} ({proviso})"


def _pairs(catalogue: Catalogue) -> Iterator[str]:
    for prior, decoder in itertools.product(_reference(catalogue, "prior"), _reference(catalogue, "decoder")):
        if posterior_type(prior.component.distribution, decoder.component):
            yield f"{_link(prior.entry)} with {_link(decoder.entry)}"


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
