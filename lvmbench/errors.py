"""The exceptions of lvmbench: one root, one child per meaning."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 20


class LvmbenchError(Exception):
    """Root of everything lvmbench raises on purpose."""


class UserError(LvmbenchError):
    """What the user gave cannot be used; shown as one line, exit code 2."""


class DataError(UserError):
    """Data are not as they are declared."""


class Refusal(LvmbenchError, ValueError):  # noqa: N818
    """A component cannot be part of this combination.

    Raise it from a component's ``__init__`` with the reason.
    """


class Unavailable(LvmbenchError):  # noqa: N818
    """A component cannot be used here, as something is missing:
    raise it where that is found, with what to install.

    A run or an evaluation that is unavailable is done as soon as nothing is missing any more.
    """


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
    more = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
    return f"; known: {', '.join(names[:SHOWN]) or 'none'}{more}"
