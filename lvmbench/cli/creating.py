"""The command that starts a plugin."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from lvmbench.errors import UserError, nearest
from lvmbench.kinds import COMPONENTS

Licence = Literal["MIT", "Apache-2.0", "BSD-3-Clause", "none"]
IDENTIFIER = re.compile(r"[A-Za-z](\w*[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class _Names:
    """What the parts of a new plugin are called."""

    kind: str
    name: str

    @property
    def module(self) -> str:
        return f"lvmbench_{self.name}"

    @property
    def distribution(self) -> str:
        return f"lvmbench-{self.name}"

    @property
    def cls(self) -> str:
        """The name in camel case, ending in the kind."""
        camel = "".join(word[:1].upper() + word[1:] for word in self.name.split("_"))
        kind = self.kind.capitalize()
        return camel if camel.endswith(kind) and camel != kind else camel + kind


def new(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(COMPONENTS)}.")],
    name: Annotated[str, typer.Argument(help="What the component is called in suites and tables.")],
    here: Annotated[
        bool, typer.Option("--here", help="Write one file for --plugin instead of a project.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write it.")] = Path(),
    licence: Annotated[
        Licence, typer.Option("--licence", "--license", help="The licence of the project.")
    ] = "MIT",
) -> None:
    """Write a plugin that works: an installable project with a component, its tests, a suite and CI.

    The component is an example of its kind; it can be listed, checked and trained before a line is changed.

    Example: lvmbench new prior mine && pip install -e lvmbench-mine && lvmbench check mine
    """
    if kind not in COMPONENTS:
        raise UserError(f"unknown kind '{kind}'{nearest(kind, COMPONENTS)}")
    names = _Names(kind, name)
    _check(names)
    target = out / (f"{names.module}.py" if here else names.distribution)
    if target.exists():
        raise UserError(f"'{target}' is there already and is not overwritten; give another name or --out")
    files = {"": f"components/{kind}.py"} if here else _project(names, licence)
    for path, text in _rendered(names, licence, files, here).items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")
    print(_next_steps(names, target, here, len(files)))


def _check(names: _Names) -> None:
    """Refuse names that cannot be used, or are in use."""
    from lvmbench.registry.loader import load_catalogue

    name = names.name
    if not IDENTIFIER.fullmatch(name) or keyword.iskeyword(name):
        raise UserError(
            f"'{name}' cannot be a name: it must be a Python identifier of ASCII letters, digits and '_' "
            f"that starts with a letter and does not end in '_'{_instead(name)}"
        )
    catalogue = load_catalogue()
    if (names.kind, name) in catalogue:
        owner = catalogue.entry(names.kind, name)
        raise UserError(
            f"{owner.label} is registered by {owner.distribution} {owner.version} already; give another name"
        )
    plugins = {e.plugin: e.distribution for e in catalogue.entries()}
    plugins |= {p.plugin: p.distribution for p in catalogue.problems}
    if name in plugins:
        raise UserError(f"{plugins[name]} has a plugin called '{name}' already; give another name")
    if names.module in sys.modules or importlib.util.find_spec(names.module):
        raise UserError(f"there is a module '{names.module}' already; give another name")


def _instead(name: str) -> str:
    """A name like this one that can be used.

    >>> _instead("my-prior"), _instead("2 moons"), _instead("class")
    ("; try 'my_prior'", "; try 'moons'", "; try 'my_class'")
    """
    better = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_0123456789")
    better = f"my_{better}" if keyword.iskeyword(better) else better
    return f"; try '{better}'" if IDENTIFIER.fullmatch(better) else ""


def _project(names: _Names, licence: Licence) -> dict[str, str]:
    """The files of a project, and the template of each."""
    files = {
        "pyproject.toml": "project/pyproject.toml",
        f"{names.module}/__init__.py": "project/package.py",
        f"{names.module}/{names.kind}.py": f"components/{names.kind}.py",
        f"tests/test_{names.name}.py": f"tests/{names.kind}.py",
        "suite.yaml": "project/suite.yaml",
        "README.md": "project/README.md",
        ".github/workflows/ci.yml": "project/ci.yml",
        ".gitignore": "project/gitignore",
    }
    return files if licence == "none" else {**files, "LICENSE": f"licences/{licence}"}


def _rendered(names: _Names, licence: Licence, files: Mapping[str, str], here: bool) -> dict[str, str]:
    """The text of each file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from lvmbench import __version__
    from lvmbench.registry.hookspecs import API_VERSION

    environment = Environment(
        loader=PackageLoader("lvmbench"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    major = int(API_VERSION.partition(".")[0])
    values = {
        "here": here,
        "target": f"{names.module if here else f'{names.module}.{names.kind}'}:{names.cls}",
        "kind": names.kind,
        "a_kind": f"{'an' if names.kind[0] in 'eo' else 'a'} {names.kind}",
        "name": names.name,
        "module": names.module,
        "cls": names.cls,
        "licence": licence,
        "year": datetime.now(UTC).year,
        "api": major,
        "api_next": major + 1,
        "version": ".".join(__version__.split(".")[:2]),
    }
    return {path: environment.get_template(f"{t}.jinja").render(values) for path, t in files.items()}


def _next_steps(names: _Names, target: Path, here: bool, count: int) -> str:
    if here:
        return f"wrote {target}\nnext: lvmbench list {names.kind} --plugin {target}; lvmbench check {target}"
    return (
        f"wrote {target} ({count} files)\n"
        f"next: pip install -e {target}; lvmbench check {names.kind}/{names.name}; lvmbench run "
        f"{target / 'suite.yaml'}"
    )
