"""The exceptions of lvmbench: one root, one child per meaning."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LvmbenchError(Exception):
    """Root of everything lvmbench raises on purpose."""


class UserError(LvmbenchError):
    """What the user gave cannot be used; shown as one line, exit code 2."""


class Refusal(LvmbenchError, ValueError):
    """A component cannot be part of this combination; raise it from a component's ``__init__`` with the reason."""


class Unavailable(LvmbenchError):
    """A registered component cannot be imported here."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names are nearest to a wrong one.

    >>> nearest("gausian", ["gaussian", "exact"])
    "; did you mean 'gaussian'?"
    >>> nearest("zzz", ["gaussian", "exact"])
    '; known: exact, gaussian'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return "; did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return f"; known: {', '.join(names) or 'none'}"
