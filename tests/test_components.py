"""The conformance kit over everything in the catalogue: no component is named here, and a new one is covered at once."""

import ast
import inspect
from pathlib import Path

import pytest

from lvmbench.catalogue import COMPONENT_KINDS
from lvmbench.checks import parametrize_with_checks
from lvmbench.plugins import load_catalogue

CATALOGUE = load_catalogue()
COMPONENTS = [entry for entry in CATALOGUE.entries() if entry.kind in COMPONENT_KINDS]


@parametrize_with_checks(COMPONENTS, catalogue=CATALOGUE)
def test_conformance(check):
    check()


@pytest.mark.parametrize("entry", [e for e in COMPONENTS if e.plugin == "reference"], ids=lambda e: e.label)
def test_reference_component_is_final_and_alone_in_its_file(entry):
    cls = entry.load()
    assert getattr(cls, "__final__", False), "not marked @typing.final"
    tree = ast.parse(Path(inspect.getfile(cls)).read_text())
    public = [n.name for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    assert public == [cls.__name__]
