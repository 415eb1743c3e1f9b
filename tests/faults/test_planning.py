"""Plugins are asked for a plan where they can be ended: what they do there costs their combinations alone."""

import pytest

from lvmbench.api.prepared import Prepared
from lvmbench.errors import UserError
from lvmbench.execution.options import RunOptions
from lvmbench.registry.loader import PluginSelection

PARTS = """
import ctypes, os, time, torch, lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal
from lvmbench_plugins.datasets.blobs import Blobs

def prior(act):
    def make(self, data, latent):
        act()
        StandardNormal.__init__(self, data, latent)
    return type("Made", (StandardNormal,), {"__init__": make, "__doc__": "A prior."})

class Interrupting(Blobs):
    "A data set that raises KeyboardInterrupt."
    def load(self):
        raise KeyboardInterrupt

def interrupt():
    raise KeyboardInterrupt

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("exits", prior(lambda: os._exit(0)))
    register.prior("crashes", prior(lambda: ctypes.string_at(0)))
    register.prior("sleeps", prior(lambda: ctypes.PyDLL(None).sleep(1000)))
    register.prior("interrupts", prior(interrupt))
    register.dataset("interrupting", Interrupting)
"""


def statuses(tiny, plugin, **what):
    """Status and reason of each planned combination, by prior."""
    options = RunOptions(jobs=1, timeout=what.pop("timeout", None), selection=PluginSelection.of([plugin]))
    with Prepared.of(str(tiny.write(**what)), tiny.folder / "out", options) as prepared:
        assert prepared.answer.problems == ()
        return {str(p.combination["prior"]): (p.status, p.reason) for p in prepared.plan.planned}


@pytest.mark.slow
def test_what_ends_its_process_while_it_is_planned_costs_its_combinations_alone(tiny):
    plugin = tiny.plugin("ending_parts", PARTS)
    found = statuses(tiny, plugin, priors=["exits", "crashes", "standard_normal", "interrupts"])
    asked = "when it was tried: the worker process"
    assert found == {
        "exits": ("killed", f"prior 'exits', {asked} ended by itself (exit code 0)"),
        "crashes": ("killed", f"prior 'crashes', {asked} was killed (signal 11, SIGSEGV)"),
        "standard_normal": (None, ""),
        "interrupts": (None, ""),
    }


@pytest.mark.slow
def test_what_hangs_while_it_is_planned_is_ended(tiny):
    plugin = tiny.plugin("hanging_prior", PARTS)
    found = statuses(tiny, plugin, priors=["sleeps", "standard_normal"], timeout=20)
    reason = "prior 'sleeps', when it was tried: took longer than 20 s"
    assert found == {"sleeps": ("timeout", reason), "standard_normal": (None, "")}


@pytest.mark.slow
def test_the_records_of_a_run_say_what_was_found_while_it_was_planned(tiny, cli):
    plugin = tiny.plugin("exiting_prior", PARTS)
    file = tiny.write(priors=["exits", "standard_normal"], seeds=[0])
    shown = cli("run", file, "--out", tiny.folder / "out", "--plugin", plugin, "--jobs", 1)
    assert shown.code == 1
    assert tiny.frame()["status"].tolist() == ["killed", "ok"]
    assert "when it was tried" in tiny.frame()["reason"].iloc[0]


@pytest.mark.slow
def test_a_data_set_that_interrupts_is_left_to_fail_when_it_is_run(tiny):
    plugin = tiny.plugin("interrupting_data", PARTS)
    found = statuses(tiny, plugin, datasets=["interrupting"], priors=["standard_normal"])
    assert found == {"standard_normal": (None, "")}


DEAF = """
import time
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass
"""
PLUGINS = {"exits": "import os; os._exit(0)", "deaf": DEAF}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_that_ends_its_process_when_it_is_imported_is_a_problem_of_its_own(tiny, name, monkeypatch):
    monkeypatch.setenv("LVMBENCH_PLUGIN_TIMEOUT", "5")
    plugin = tiny.plugin(f"importing_{name}", PLUGINS[name])
    options = RunOptions(jobs=1, selection=PluginSelection.of([plugin]))
    with Prepared.of(str(tiny.write()), tiny.folder / "out", options) as prepared:
        (problem,) = prepared.answer.problems
        assert problem.plugin == f"importing_{name}"
        assert "when it was tried" in problem.message
        assert not any(p.status for p in prepared.plan.planned)


def test_a_mistake_of_the_user_is_told_as_such(tiny):
    with pytest.raises(UserError, match="unknown prior 'standard_norma'"):
        Prepared.of(str(tiny.write(priors=["standard_norma"])), None, RunOptions(jobs=1))
