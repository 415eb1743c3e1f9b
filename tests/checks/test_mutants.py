"""The kit catches every wrong component, and says why."""

from collections import Counter
from pathlib import Path

import pytest

from lvmbench.checks import check
from lvmbench.checks.contract import checks_of
from lvmbench.kinds import COMPONENTS
from lvmbench.registry.loader import load_catalogue
from tests.mutants import mutants

CATALOGUE = load_catalogue()
MUTANTS = mutants()
TABLE = Path(__file__).parents[2] / "docs" / "mutants.md"
BASES = dict.fromkeys(
    base for m in MUTANTS for base in m.cls.__mro__[1:] if base.__module__ == m.cls.__module__
)
BASES = [
    base for base in BASES if base not in [m.cls for m in MUTANTS] and base.__module__.startswith("tests.")
]
DOCUMENTATION = {
    "formula_is_stated",
    "references_have_year_and_link",
    "example_runs",
    "options_are_documented",
    "summary_is_one_sentence",
}
HEAD = """# Mutants

Components that are wrong on purpose, and the checks of `lvmbench check` that catch them. Written by
`python -m tests.checks.test_mutants`; a test holds that it is up to date, and that each mutant is caught.

| kind | mutant | what is wrong | caught by |
|---|---|---|---|
"""


def kind_of(cls):
    return next(kind for kind in COMPONENTS if any(base.__name__.lower() == kind for base in cls.__mro__))


def escaped(text):
    return text.replace("|", r"\|")


def table():
    rows = (
        f"| {kind_of(m.cls)} | `{m.cls.__name__}` | {escaped(m.wrong)} | "
        f"{', '.join(f'`{name}`' for name in m.caught)} |"
        for m in MUTANTS
    )
    return HEAD + "\n".join(rows) + "\n"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{kind_of(m.cls)}/{m.cls.__name__}")
def test_mutant_is_caught_for_the_right_reason(mutant):
    report = check(mutant.cls, catalogue=CATALOGUE, only=list(mutant.caught))
    assert {result.check for result in report} == set(mutant.caught)
    for result in report:
        assert (result.status, result.reason) == ("failed", "")
        assert mutant.caught[result.check] in result.message


@pytest.mark.parametrize("right", BASES, ids=lambda cls: f"{kind_of(cls)}/{cls.__name__}")
def test_what_mutants_are_made_from_is_right(right):
    """A control: all that fails is the documentation that these classes lack."""
    failed = {result.check: result.message for result in check(right, catalogue=CATALOGUE).failed}
    assert {name: came for name, came in failed.items() if name not in DOCUMENTATION} == {}


def test_every_kind_has_mutants():
    assert len(MUTANTS) >= 32
    assert set(Counter(kind_of(m.cls) for m in MUTANTS)) == set(COMPONENTS)


def test_every_check_catches_a_mutant():
    every = {c.name for kind in COMPONENTS for c in checks_of(kind)}
    assert every - {name for m in MUTANTS for name in m.caught} == set()


def test_the_table_is_up_to_date():
    assert TABLE.read_text() == table(), "write it anew: python -m tests.checks.test_mutants"


if __name__ == "__main__":
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table())
