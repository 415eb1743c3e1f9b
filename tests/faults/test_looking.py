"""Plugins are looked at where they can be ended: what they do there is a problem of their own."""

import json
from importlib.metadata import entry_points

import pytest

from lvmbench.api import survey
from tests.faults.test_planning import DEAF

PLACE = survey.place

IMPORTS = {
    "exits": ("import os; os._exit(0)", "the worker process ended by itself (exit code 0)"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "was killed (signal 11, SIGSEGV)"),
    "deaf": (DEAF, "took longer than 10 s"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "leaves": ("raise SystemExit(0)", "SystemExit: 0"),
    "loops": ("while True: pass", "took longer than 5 s (LVMBENCH_PLUGIN_TIMEOUT)"),
    "floods": ("import os; os.write(1, b'x' * 10**7); os.write(2, b'x' * 10**7); 1 / 0", "ZeroDivisionError"),
}
LAZY = """
import lvmbench

@lvmbench.hookimpl
def lvmbench_register(register):
    for name in ("exits", "interrupts"):
        register.prior(name, f"{name}_part:Part")
    register.prior("fine", "lvmbench_plugins.priors.standard_normal:StandardNormal")
    register.dataset("killing", "exits_part:Part")
"""
ACTING = """
import os, lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal

class Acting(StandardNormal):
    "Ends its process once it is made."
    def __init__(self, data, latent):
        os._exit(3)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("acting", Acting)
"""


@pytest.fixture
def isolated(cli, monkeypatch):
    """The command line with workers, as a user has it."""
    monkeypatch.setattr(survey, "place", PLACE)
    return cli


def written(tiny, names):
    """Plugin files that do something as they are imported, as words of the command line."""
    files = [tiny.plugin(f"looked_at_{name}", IMPORTS[name][0]) for name in names]
    return [word for file in files for word in ("--plugin", file)]


def assert_listed(problems, names):
    assert len(problems) == len(names)
    for line, name in zip(problems, names, strict=True):
        assert f"plugin 'looked_at_{name}'" in line
        assert IMPORTS[name][1] in line
        assert len(line) < 2000


def test_plugins_that_end_their_process_are_problems_of_their_own(isolated, tiny):
    names = ["exits", "interrupts", "leaves"]
    shown = isolated("list", "prior", *written(tiny, names))
    assert shown.code == 0
    assert "mixture" in shown.out
    assert_listed(shown.err.splitlines(), names)


@pytest.mark.slow
def test_whatever_an_import_does_the_other_plugins_are_shown(isolated, tiny, monkeypatch):
    monkeypatch.setenv("LVMBENCH_PLUGIN_TIMEOUT", "5")
    words = written(tiny, IMPORTS)
    found = json.loads(isolated("plugins", "--json", *words).out)
    assert len(found["plugins"]) == 1
    assert_listed([f"plugin '{p['plugin']}' {p['message']}" for p in found["problems"]], IMPORTS)
    shown = isolated("show", "evaluator/cost", *words)
    assert (shown.code, shown.err.count("\n")) == (0, len(IMPORTS))


@pytest.mark.slow
def test_components_that_end_their_process_as_they_are_imported_cannot_be_used(isolated, tiny, monkeypatch):
    reasons = {"exits": IMPORTS["exits"][1], "interrupts": "KeyboardInterrupt"}
    for name in reasons:
        tiny.plugin(f"{name}_part", IMPORTS[name][0])
    monkeypatch.syspath_prepend(str(tiny.folder))
    words = ["--plugin", tiny.plugin("lazy_parts", LAZY)]
    for name, reason in reasons.items():
        shown = isolated("show", f"prior/{name}", *words)
        assert (shown.code, shown.err.count("\n"), reason in shown.err) == (2, 1, True), shown
    assert isolated("show", "prior/fine", *words).code == 0
    listed = isolated("data", "list", *words).out
    assert "killing" in listed
    assert "exit code 0" in listed


@pytest.mark.slow
def test_a_component_that_ends_its_process_fails_the_checks_that_it_does_so_in(isolated, tiny):
    shown = isolated("check", tiny.plugin("acting_parts", ACTING))
    assert (shown.code, shown.err) == (1, "")
    assert shown.out.count("the worker process ended by itself (exit code 3)") == 1
    assert " 1 failed, " in shown.out.splitlines()[-1]


def test_what_is_lvmbench_own_is_looked_at_at_once(isolated, monkeypatch):
    monkeypatch.setattr("lvmbench.execution.local.LocalExecutor", pytest.fail)
    monkeypatch.setattr("lvmbench.registry.loader.entry_points", own_alone)
    assert isolated("list").code == 0


def own_alone(group):
    """The entry points of lvmbench itself."""
    return [point for point in entry_points(group=group) if point.dist.name == "lvmbench"]
