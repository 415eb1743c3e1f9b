"""The conformance kit over everything in the catalogue:
no component is named here, and a new one is covered at once.
"""

import ast
import inspect
from pathlib import Path

import pytest

from lvmbench.checks import parametrize_with_checks
from lvmbench.checks.contract import checks_of
from lvmbench.checks.partners import Bench
from lvmbench.checks.runner import examine
from lvmbench.kinds import COMPONENTS
from lvmbench.registry.loader import load_catalogue
from tests.test_statistical import functions, used

CATALOGUE = load_catalogue()
BENCH = Bench(CATALOGUE)
COMPONENTS = [entry for entry in CATALOGUE.entries() if entry.kind in COMPONENTS]


@parametrize_with_checks(COMPONENTS, catalogue=CATALOGUE)
def test_conformance(check):
    check()


def by_averages(kind):
    """The checks of a kind that compare averages."""
    files = [Path(inspect.getfile(inspect.unwrap(c.run))) for c in checks_of(kind)]  # some are wrapped
    known = [functions(ast.parse(file.read_text())) for file in files]
    texts = [used(c.name, file) for c, file in zip(checks_of(kind), known, strict=True)]
    return [c.name for c, text in zip(checks_of(kind), texts, strict=True) if "require_average(" in text]


@pytest.mark.slow
@pytest.mark.parametrize("entry", COMPONENTS, ids=lambda e: e.label)
@pytest.mark.statistical("the averages of `lvmbench check` with what is due", "of the draws")
def test_checks_of_averages_hold_under_any_seed(entry, chance):
    names = by_averages(entry.kind)
    (examination,) = examine(entry, catalogue=CATALOGUE, bench=BENCH, only=names)
    assert [r.explanation for r in examination.results() if r.status == "failed"] == []
    assert chance.done == 0


@pytest.mark.parametrize("entry", [e for e in COMPONENTS if e.plugin == "reference"], ids=lambda e: e.label)
def test_reference_component_is_final_and_alone_in_its_file(entry):
    cls = entry.load()
    assert getattr(cls, "__final__", False), "not marked @typing.final"
    tree = ast.parse(Path(inspect.getfile(cls)).read_text())
    public = [n.name for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    assert public == [cls.__name__]
