"""The catalogue: what is registered, by whom, without importing it until it is used."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lvmbench.errors import Unavailable, UserError, nearest
from lvmbench.kinds import KINDS, TABLE
from lvmbench.registry.names import Ref
from lvmbench.registry.sandbox import origin, preserved
from lvmbench.registry.watch import entered
from lvmbench.registry.words import reason_of


@dataclass(frozen=True)
class Entry:
    """One registered name and where it comes from."""

    kind: str
    name: str
    target: str | type
    plugin: str
    distribution: str
    version: str

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.kind} '{self.name}'"

    @cached_property
    def summary(self) -> str:
        """The first sentence of its documentation, read without importing it."""
        if isinstance(self.target, type):
            return _summary(self.target.__doc__)
        try:
            return self._heading() if self.kind == "suite" else self._docstring()
        except (Exception, SystemExit) as error:
            return f"unavailable: {' '.join(str(error).split())}"

    def _heading(self) -> str:
        first = self.path.read_text(encoding="utf-8").strip().partition("\n")[0]
        return first.lstrip("# ") if first.startswith("#") else ""

    def _docstring(self) -> str:
        module, _, attribute = str(self.target).partition(":")
        source = _source(module)
        return _summaries(source, source.stat().st_mtime_ns).get(attribute, "")

    @property
    def path(self) -> Path:
        """The file of a suite."""
        module, _, relative = str(self.target).partition(":")
        try:
            return _source(module).parent / relative
        except ImportError as error:
            raise Unavailable(f"{self.label} of {self.distribution} {self.version}: {error}") from error

    def load(self) -> type[Any]:
        """The class; raises `Unavailable` where it cannot be imported, or is no component of its kind."""
        return self._class

    @cached_property
    def _class(self) -> type[Any]:
        from lvmbench.options import options_model

        try:
            component = _present(self.target)
            if component is None:
                with preserved([]), entered(f"the import of {self.label}"):
                    component = _attribute(str(self.target))
            base = TABLE[self.kind].base()
            if not (isinstance(component, type) and issubclass(component, base)):
                raise TypeError(f"{component!r} is not a class derived from lvmbench.{base.__name__}")
            options_model(component)
        except Exception as error:
            raise Unavailable(
                f"{self.label} of {self.distribution} {self.version} cannot be "
                f"used: {reason_of(origin(error), named=True)}"
            ) from error
        return component


def _present(target: str | type) -> Any:
    """A class, or what ``"package.module:name"`` names, where it is there without running any code."""
    if isinstance(target, type):
        return target
    module, _, attribute = target.partition(":")
    return getattr(sys.modules.get(module), "__dict__", {}).get(attribute)


def _attribute(target: str) -> Any:
    """What ``"package.module:name"`` names, imported."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _source(module: str) -> Path:
    """The file of a module, which is not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module '{module}'")
    return Path(spec.origin)


@cache
def _summaries(source: Path, changed: int) -> dict[str, str]:
    """The summary of each class in a file that was last changed then."""
    body = ast.parse(source.read_text(encoding="utf-8")).body
    return {n.name: _summary(ast.get_docstring(n)) for n in body if isinstance(n, ast.ClassDef)}


def _summary(documentation: str | None) -> str:
    """The sentence that documentation begins with, its formulas without their markup.

    >>> _summary("A normal of :math:`z`,\\nor two.\\n\\nMore.")
    'A normal of z, or two.'
    """
    first = " ".join((documentation or "").strip().partition("\n\n")[0].split())
    return re.sub(r":math:`([^`]*)`", r"\1", first)


@dataclass(frozen=True)
class PluginProblem:
    """Why a plugin, or a part of it, is not in the catalogue."""

    plugin: str
    distribution: str
    version: str
    stage: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' ({self.distribution} {self.version}), {self.stage}: {self.message}"


class Catalogue:
    """Everything registered, by kind and name."""

    def __init__(self, entries: Iterable[Entry] = (), problems: Iterable[PluginProblem] = ()) -> None:
        self._entries: dict[tuple[str, str], Entry] = {(e.kind, e.name): e for e in entries}
        self.problems: tuple[PluginProblem, ...] = tuple(problems)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._entries

    def entries(self, kind: str | None = None) -> list[Entry]:
        """The entries of one kind, or all, in the order of kinds and then of names."""
        entries = [e for e in self._entries.values() if kind in (None, e.kind)]
        return sorted(entries, key=lambda e: (KINDS.index(e.kind), e.name))

    def names(self, kind: str) -> list[str]:
        """The names of one kind."""
        return [e.name for e in self.entries(kind)]

    def entry(self, kind: str, name: str) -> Entry:
        """One entry; raises `UserError` with the nearest names where there is none."""
        entry = self._entries.get((kind, name))
        if entry is None:
            raise UserError(f"unknown {kind} '{name}'{nearest(name, self.names(kind))}{self._hint()}")
        return entry

    def _hint(self) -> str:
        return f" ({len(self.problems)} plugin problem(s): see lvmbench plugins)" if self.problems else ""

    def options(self, kind: str, ref: Ref) -> dict[str, Any]:
        """The options of a reference, checked and completed; raises `OptionError`."""
        from lvmbench.options import bases, resolve

        entry = self.entry(kind, ref.name)
        options = resolve(entry.load(), ref.options, entry.label)
        return {**options, **{name: self._base(entry, name, options[name]) for name in bases(entry.load())}}

    def _base(self, entry: Entry, option: str, text: str) -> str:
        """The component that an option names, with its own options checked."""
        from lvmbench.options import OptionError

        try:
            return str(self.canonical(entry.kind, Ref.parse(text)))
        except UserError as error:
            raise OptionError(option, f"{entry.label}: option '{option}': {error}") from None

    def canonical(self, kind: str, ref: Ref) -> Ref:
        """The reference with its options checked and the ones at their defaults left out."""
        from lvmbench.options import given

        return Ref(ref.name, given(self.entry(kind, ref.name).load(), self.options(kind, ref)))

    def bases(self, kind: str, ref: Ref) -> dict[str, Ref]:
        """The components among the options of a reference, by option."""
        from lvmbench.options import bases

        options = self.options(kind, ref)
        return {name: Ref.parse(options[name]) for name in bases(self.entry(kind, ref.name).load())}

    def build(self, kind: str, ref: Ref | str, *args: Any) -> Any:
        """Build a component, and those among its options, from its reference and the positional arguments of
        its kind.
        """
        from lvmbench.options import bases

        ref = Ref.parse(ref) if isinstance(ref, str) else ref
        component, options = self.entry(kind, ref.name).load(), self.options(kind, ref)
        built = {name: self.build(kind, options[name], *args) for name in bases(component)}
        return component(*args, **{**options, **built})

    def version(self, kind: str, ref: Ref) -> Any:
        """The version of a component; of one with others among its options, a list of its own and theirs."""
        own = self.entry(kind, ref.name).load().version
        others = [self.version(kind, base) for base in self.bases(kind, ref).values()]
        return [own, *others] if others else own

    def provenance(self, refs: Mapping[str, Ref]) -> dict[str, dict[str, Any]]:
        """Plugin, distribution and versions of each part of a combination."""
        return {kind: self.origin(kind, ref) for kind, ref in refs.items()}

    def origin(self, kind: str, ref: Ref) -> dict[str, Any]:
        """Plugin, distribution and versions of a component, and of those among its options."""
        e = self.entry(kind, ref.name)
        bases = {option: self.origin(kind, base) for option, base in self.bases(kind, ref).items()}
        return {
            "plugin": e.plugin,
            "distribution": e.distribution,
            "version": e.version,
            "component": self.version(kind, ref),
            **({"bases": bases} if bases else {}),
        }
