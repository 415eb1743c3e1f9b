"""The stages of loading a plugin: its code runs under guard,
and what is wrong with it is told by its stage.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from lvmbench.errors import nearest
from lvmbench.registry import hookspecs
from lvmbench.registry.sandbox import Note, Overtime, guarded, origin
from lvmbench.registry.words import reason_of


class StageError(Exception):
    """A problem with one plugin, and the stage it came up in."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


def attempt(stage: str, action: Callable[[], Any], notes: list[Note]) -> Any:
    """Do something that runs a plugin's code; what it did besides is noted, with the stage it did that in."""
    beside: list[Note] = []
    try:
        with guarded(beside):
            return action()
    except StageError:
        raise
    except Overtime as error:
        raise StageError(stage, str(error)) from None
    except Exception as error:
        raise StageError(stage, reason_of(origin(error), named=True)) from origin(error)
    finally:
        notes.extend(Note(note.stage, f"at {stage} it {note.message}") for note in beside)


def check_api(module: Any) -> None:
    """Refuse a plugin that is written for another version of the plugin interface than this one."""
    declared = inspect.getattr_static(module, "LVMBENCH_API", None)
    if declared is None:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        suits = hookspecs.API_VERSION in SpecifierSet(declared)
    except (InvalidSpecifier, TypeError, AttributeError):
        raise StageError(
            "version", f"LVMBENCH_API is {declared!r}, which is no range of versions; write '>=1,<2'"
        ) from None
    if not suits:
        raise StageError(
            "version",
            f"it is written for version {declared} of the plugin interface, and this lvmbench has "
            f"{hookspecs.API_VERSION}; update the plugin or lvmbench",
        )


def check_hooks(module: Any) -> None:
    """Refuse misspelt hooks and plugins without any."""
    known = [
        name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("lvmbench_")
    ]
    marked = [
        name
        for name in dir(module)
        if getattr(inspect.getattr_static(module, name, None), "lvmbench_impl", None)
    ]
    for name in marked:
        if name not in known:
            raise StageError("unknown-hook", f"there is no hook '{name}'{nearest(name, known)}")
    if not marked:
        raise StageError(
            "unknown-hook", f"nothing is marked with @lvmbench.hookimpl; implement {known[0]}(register)"
        )
