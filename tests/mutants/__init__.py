"""Components that are wrong on purpose, each with the checks that must catch it."""

import importlib
from typing import NamedTuple

from lvmbench.kinds import COMPONENTS, TABLE


class Mutant(NamedTuple):
    """A wrong component: what is wrong, and for each check that must fail a piece of its message."""

    cls: type
    wrong: str
    caught: dict[str, str]


_FOUND = {}


def mutant(wrong, **caught):
    """Register a wrong component."""

    def add(cls):
        _FOUND[f"{cls.__module__}.{cls.__name__}"] = Mutant(cls, wrong, caught)
        return cls

    return add


def mutants():
    """All of them, by kind."""
    modules = [f"tests.mutants.{TABLE[kind].plural}" for kind in COMPONENTS]
    for module in modules:
        importlib.import_module(module)
    # whichever of these was imported first
    return sorted(_FOUND.values(), key=lambda found: modules.index(found.cls.__module__))
