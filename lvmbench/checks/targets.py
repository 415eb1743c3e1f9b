"""What can be checked: a registered name, an entry, a class, or a plugin file."""

from __future__ import annotations

from pathlib import Path

from lvmbench.errors import UserError, nearest
from lvmbench.kinds import COMPONENTS, TABLE
from lvmbench.registry.catalogue import Catalogue, Entry
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref

Target = str | Path | Entry | type
Resolved = list[tuple[Entry, Ref]]


def resolve(
    target: Target, catalogue: Catalogue | None = None, kind: str | None = None
) -> tuple[Catalogue, Resolved]:
    """The components that a target means, and a catalogue that holds them.

    Raises `UserError` where there are none.
    """
    if isinstance(target, type):
        return _admit([_entry_of(target, kind)], catalogue)
    if isinstance(target, Entry):
        return _admit([target], catalogue)
    path = Path(target)
    if path.suffix == ".py" or isinstance(target, Path):
        return _file(path, catalogue, kind)
    catalogue = catalogue or load_catalogue()
    return catalogue, _named(str(target), catalogue, kind)


def _entry_of(cls: type, kind: str | None) -> Entry:
    kinds = [k for k in COMPONENTS if issubclass(cls, TABLE[k].base()) and kind in (None, k)]
    if not kinds:
        bases = ", ".join(TABLE[k].title for k in ([kind] if kind else COMPONENTS))
        raise UserError(f"'{cls.__name__}' is no component; it must derive from one of {bases}")
    return Entry(kinds[0], cls.__name__, cls, cls.__module__, cls.__module__, "local")


def _admit(entries: list[Entry], catalogue: Catalogue | None) -> tuple[Catalogue, Resolved]:
    """Entries of their own, put beside or in place of what a catalogue holds."""
    catalogue = catalogue or load_catalogue()
    known = catalogue.entries()
    if not all(entry in known for entry in entries):  # else what is known of its combinations serves on
        catalogue = Catalogue([*known, *entries], catalogue.problems)
    return catalogue, [(entry, Ref(entry.name)) for entry in entries]


def _file(path: Path, catalogue: Catalogue | None, kind: str | None) -> tuple[Catalogue, Resolved]:
    whole = str(path.resolve())
    loaded = load_catalogue(PluginSelection(extra=(whole,)))
    found = [e for e in loaded.entries() if e.distribution == whole and _fits(e, kind)]
    if not found:
        for problem in loaded.problems:
            if problem.distribution == whole:
                raise UserError(str(problem))
        raise UserError(f"'{path}' registers no {kind or 'component'}; see lvmbench.hookspecs")
    return _admit(found, catalogue or loaded)


def _named(text: str, catalogue: Catalogue, kind: str | None) -> Resolved:
    """The components of a name, of ``kind/name``, or of either with options."""
    head, slash, _ = text.partition("[")[0].partition("/")
    if slash:
        if head not in COMPONENTS:
            raise UserError(f"unknown kind '{head}' in '{text}'{nearest(head, COMPONENTS)}")
        kind, text = head, text.partition("/")[2]
    ref = Ref.parse(text)
    found = [e for e in catalogue.entries() if e.name == ref.name and _fits(e, kind)]
    if not found:
        known = {e.name for e in catalogue.entries() if _fits(e, kind)}
        raise UserError(f"unknown {kind or 'component'} '{ref.name}'{nearest(ref.name, known)}")
    for entry in found:
        catalogue.canonical(entry.kind, ref) if ref.options else None
    return [(entry, ref) for entry in found]


def _fits(entry: Entry, kind: str | None) -> bool:
    return entry.kind in COMPONENTS and kind in (None, entry.kind)
