"""Finding plugins: each is loaded alone, and what is wrong with one is listed instead of raised.

pluggy's own loader drops a second entry point of a name, lets one plugin's ImportError take the host down,
accepts misspelt hooks and leaves a plugin half-registered when its registration fails; this loader closes
those gaps. A plugin that prints, hangs or changes global state while it loads is dealt with and listed.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from lvmbench.errors import UserError, nearest
from lvmbench.kinds import KINDS
from lvmbench.registry import hookspecs
from lvmbench.registry.catalogue import Catalogue, Entry, PluginProblem
from lvmbench.registry.names import NAME, SUITE
from lvmbench.registry.sandbox import Note, time_limit
from lvmbench.registry.stages import StageError, attempt, check_api, check_hooks
from lvmbench.registry.watch import PLUGIN, Fatal, entered

Entries = dict[tuple[str, str], Entry]
GROUP = "lvmbench"
HOME = "lvmbench"
"""The distribution whose plugins are lvmbench's own."""
SLOW = (
    "its lvmbench_register imports torch, which makes every command start slowly; register lazy targets, "
    "'package.module:Class'"
)


@dataclass(frozen=True)
class PluginSelection:
    """Which plugins to load besides the installed ones, and which to leave out."""

    extra: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()

    @classmethod
    def of(cls, plugins: Iterable[str | Path], blocked: Iterable[str] = ()) -> PluginSelection:
        """Local plugins; files are made absolute, so that worker processes and later sessions find them."""
        texts = [str(plugin) for plugin in ([plugins] if isinstance(plugins, str | Path) else plugins)]
        return cls(tuple(str(Path(t).resolve()) if t.endswith(".py") else t for t in texts), tuple(blocked))


@dataclass(frozen=True)
class _Source:
    """A plugin that can be loaded, and where it comes from."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]

    def problem(self, stage: str, message: str, traceback: str = "") -> PluginProblem:
        """Something wrong with it."""
        return PluginProblem(self.name, self.distribution, self.version, stage, message, traceback)


@dataclass
class Registrar:
    """What a plugin's `lvmbench_register` is handed; it collects entries for one plugin."""

    source: _Source
    taken: Entries
    entries: Entries = field(default_factory=dict)

    def __getattr__(self, kind: str) -> Callable[[str, str | type], None]:
        if kind.startswith("_") or kind not in KINDS:
            raise AttributeError(f"register has no kind '{kind}'{nearest(kind, KINDS)}")
        return lambda name, target: self._add(kind, name, target)

    def _add(self, kind: str, name: str, target: str | type) -> None:
        if not (isinstance(name, str) and (SUITE if kind == "suite" else NAME).fullmatch(name)):
            raise ValueError(
                f"{kind} name {name!r} must be letters, digits, '_', '.' or '-', starting with a letter"
            )
        if not isinstance(target, type) and not (isinstance(target, str) and target.count(":") == 1):
            raise ValueError(
                f"{kind} '{name}': the target must be a class or 'package.module:Class', got {target!r}"
            )
        entry = Entry(kind, name, target, self.source.name, self.source.distribution, self.source.version)
        if other := self.taken.get((kind, name)) or self.entries.get((kind, name)):
            raise ValueError(
                f"{kind} '{name}' is already registered by plugin '{other.plugin}' ({other.distribution} "
                f"{other.version}); nothing of this plugin was registered: rename the component"
            )
        self.entries[kind, name] = entry


def load_catalogue(selection: PluginSelection | None = None) -> Catalogue:
    """Load every installed plugin, and the selected local ones, into a fresh catalogue.

    Raises `UserError` where a blocked plugin does not exist or a local one cannot be found.
    """
    time_limit()  # complains of a bad one, once
    selection = selection or PluginSelection()
    sources = [*_installed(), *(_local(text) for text in selection.extra)]
    unknown = set(selection.blocked) - {s.name for s in sources}
    if unknown:
        name = min(unknown)
        raise UserError(f"--no-plugin: no plugin '{name}'{nearest(name, {s.name for s in sources})}")
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    taken: Entries = {}
    problems: list[PluginProblem] = []
    for source in sources:
        if source.name not in selection.blocked:
            _admit(source, manager, taken, problems)
    return Catalogue(taken.values(), problems)


def any_foreign(selection: PluginSelection) -> bool:
    """Whether a selection loads plugins that are not lvmbench's own."""
    found = (source.distribution for source in _installed() if source.name not in selection.blocked)
    return bool(selection.extra) or any(distribution != HOME for distribution in found)


def _installed() -> Iterator[_Source]:
    """The entry points, lvmbench's own first, so that no name of a host's component can be taken over."""
    points = [(p.dist.name, p.dist.version, p) for p in entry_points(group=GROUP) if p.dist]
    unique = {(name, point.name, point.value): (name, version, point) for name, version, point in points}
    for name, version, point in sorted(unique.values(), key=lambda f: (f[0] != HOME, f[0], f[2].name)):
        yield _Source(point.name, name, version, point.load)


def _local(text: str) -> _Source:
    """A plugin given as a file or as a module."""
    path = Path(text)
    if path.suffix == ".py" or path.is_file():
        if not path.is_file():
            raise UserError(
                f"--plugin: no file '{text}'; give a .py file or the name of an importable module"
            )
        version = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        return _Source(path.stem, str(path), version, lambda: _import_file(path))
    try:
        spec = importlib.util.find_spec(text)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UserError(f"--plugin: no module '{text}'; give a .py file or the name of an importable module")
    return _Source(text, text, "local", lambda: importlib.import_module(text))


def _import_file(path: Path) -> ModuleType:
    """Import a file as a module called after it, so that its own lazy targets are found."""
    name = path.stem
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if name in sys.modules and loaded != str(path):
        raise ImportError(f"a module called '{name}' is loaded already (from {loaded}); rename the file")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{path}' is not a Python file; it must end in .py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _admit(
    source: _Source,
    manager: pluggy.PluginManager,
    taken: Entries,
    problems: list[PluginProblem],
) -> None:
    """Load one plugin and commit its entries, or list its problem and commit nothing.

    List what else it did.
    """
    notes: list[Note] = []
    try:
        with entered(f"{PLUGIN} '{source.name}'"):
            entries = _entries_of(source, manager, taken, notes)
    except Fatal as error:
        problems.append(source.problem("import", str(error)))
    except StageError as error:
        cause = error.__cause__
        text = "".join(traceback.format_exception(cause)) if cause else ""
        problems.append(source.problem(error.stage, str(error), text))
    else:
        taken.update(entries)
    problems.extend(source.problem(note.stage, note.message) for note in notes)


def _entries_of(
    source: _Source,
    manager: pluggy.PluginManager,
    taken: Entries,
    notes: list[Note],
) -> Entries:
    module = attempt("import", source.load, notes)
    attempt("validate", lambda: check_hooks(module), notes)
    attempt("version", lambda: check_api(module), notes)
    if manager.has_plugin(source.name):
        raise StageError(
            "validate", f"another plugin is called '{source.name}'; entry-point names must be unique"
        )
    try:
        attempt("validate", lambda: manager.register(module, source.name), notes)
        caller = manager.subset_hook_caller(
            "lvmbench_register", [p for p in manager.get_plugins() if p is not module]
        )
        registrar, fast = Registrar(source, taken), "torch" not in sys.modules
        attempt("register", lambda: caller(register=registrar), notes)
        if fast and "torch" in sys.modules:
            notes.append(Note("slow", SLOW))
    except StageError:
        if manager.has_plugin(source.name):
            manager.unregister(name=source.name)
        raise
    return registrar.entries
