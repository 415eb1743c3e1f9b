"""What a check is: a function that raises `Violation` where a component breaks its contract."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lvmbench.errors import LvmbenchError, UserError, nearest

if TYPE_CHECKING:
    from lvmbench.checks.specimen import Specimen

MODEL_PARTS = ("prior", "posterior", "decoder")
BUILT = (*MODEL_PARTS, "objective", "estimator")
MODULES = (
    "metadata",
    "ends",
    "shapes",
    "steps",
    "densities",
    "mixtures",
    "sequences",
    "gradients",
    "claims",
    "partnership",
    "holes",
    "objectives",
    "estimators",
    "evaluators",
    "labels",
    "datasets",
)
"""Where checks are declared, in the order they are run in."""


class Violation(LvmbenchError):  # noqa: N818
    """A component breaks its contract: what came instead of what is due, and what to look at."""

    def __init__(self, came: str, hint: str = "") -> None:
        super().__init__(f"{came}; {hint}" if hint else came)


class Skip(LvmbenchError):  # noqa: N818
    """A check does not apply; the reason is its text."""


class Run(Protocol):
    """The function of a check; it may return a warning."""

    __name__: str

    def __call__(self, specimen: Specimen) -> str | None: ...


@dataclass(frozen=True)
class Check:
    """One check.

    Arguments:
        name: The name of its function.
        kinds: The kinds of component that it is for.
        due: The contract in one sentence.
        read: Where to read about it, as ``module.Name``.
        run: The function; it is given a `Specimen`.
        once: Whether it looks at the class alone, and not at each of its named choices of options.
        explains: The names of the checks whose failures a failure of this one is the likely cause of.
    """

    name: str
    kinds: frozenset[str]
    due: str
    read: str
    run: Run
    once: bool
    explains: frozenset[str] = frozenset()


_CHECKS: list[Check] = []


def contract(
    *kinds: str, due: str, read: str, once: bool = False, explains: Collection[str] = ()
) -> Callable[[Run], Run]:
    """Declare a check of components of these kinds."""

    def declare(run: Run) -> Run:
        read_at = f"lvmbench.{read}"
        _CHECKS.append(Check(run.__name__, frozenset(kinds), due, read_at, run, once, frozenset(explains)))
        return run

    return declare


def checks_of(kind: str, only: Collection[str] | None = None) -> list[Check]:
    """The checks of a kind, or those of them that are named.

    Raises `UserError` for a name of no check at all.
    """
    for module in MODULES:  # each declares its checks when it is imported
        importlib.import_module(f"lvmbench.checks.{module}")
    known = {check.name for check in _CHECKS}
    for name in only or ():
        if name not in known:
            raise UserError(f"unknown check '{name}'{nearest(name, known)}")
    return [c for c in _CHECKS if kind in c.kinds and (only is None or c.name in only)]


Hint = str | Callable[[], str]
"""What to look at where something does not hold, or how that is found."""


def require(holds: bool, came: str, hint: Hint = "") -> None:
    """Raise `Violation` where something does not hold."""
    if not holds:
        raise Violation(came, hint() if callable(hint) else hint)


def applies(holds: bool, otherwise: str) -> None:
    """Raise `Skip` where a check does not apply."""
    if not holds:
        raise Skip(otherwise)
