"""What a plugin does besides registering: it prints, hangs, or changes what others rely on."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

from lvmbench.errors import UserError
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.sandbox import Overtime, guarded, preserved

HOOK = """
import lvmbench

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("{name}", "nothing:Nothing")
    {inside}
"""


@pytest.fixture
def load(tmp_path):
    """Load a plugin of this source; its catalogue and the problems by stage."""

    def make(name, outside="", inside=""):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(outside) + HOOK.format(name=name, inside=inside))
        catalogue = load_catalogue(PluginSelection(extra=(str(path),)))
        assert ("prior", "mixture") in catalogue
        return ("prior", name) in catalogue, {p.stage: p.message for p in catalogue.problems}

    return make


# --- output -------------------------------------------------------------------------------------------------


def test_plugin_that_prints_is_loaded_and_listed(load, capfd):
    source = "import sys\nprint('hello')\nprint('world', file=sys.stderr)"
    assert load("safety_prints", source) == (True, {"output": "at import it printed 'hello world'"})
    assert capfd.readouterr() == ("", "")


def test_plugin_that_prints_as_it_registers_is_loaded_and_listed(load, capfd):
    assert load("safety_says", inside="print('x' * 1000)") == (
        True,
        {"output": f"at register it printed '{'x' * 200}…'"},
    )
    assert capfd.readouterr() == ("", "")


def test_plugin_that_prints_and_fails_has_both_listed(load):
    loaded, problems = load("safety_fails", "print('so far so good')\n1 / 0")
    assert not loaded
    assert set(problems) == {"import", "output"}


def test_warning_of_a_command_says_what_was_printed(cli, tmp_path):
    path = tmp_path / "safety_loud.py"
    path.write_text("print('hello')" + HOOK.format(name="loud", inside=""))
    shown = cli("list", "prior", "--plugin", path)
    assert "loud" in shown.out
    assert shown.err.startswith("warning: plugin 'safety_loud' (")
    assert "output: at import it printed 'hello'" in shown.err


# --- time ---------------------------------------------------------------------------------------------------


@pytest.fixture
def limit(monkeypatch):
    monkeypatch.setenv("LVMBENCH_PLUGIN_TIMEOUT", "0.2")


HANGS = {
    "sleep": "import time\ntime.sleep(60)",
    "loop": "while True: pass",
    "caught": "import time\ntry: time.sleep(60)\nexcept Exception: pass",
}


@pytest.mark.parametrize("how", HANGS)
def test_plugin_that_hangs_is_a_listed_problem(load, limit, how):
    start = time.monotonic()
    loaded, problems = load(f"safety_hangs_{how}", HANGS[how])
    assert (loaded, problems) == (False, {"import": "took longer than 0.2 s (LVMBENCH_PLUGIN_TIMEOUT)"})
    assert time.monotonic() - start < 30  # a hang would take a minute


def test_plugin_that_hangs_as_it_registers_is_a_listed_problem(load, limit):
    loaded, problems = load("safety_slow", "import time", "time.sleep(60)")
    assert (loaded, problems) == (False, {"register": "took longer than 0.2 s (LVMBENCH_PLUGIN_TIMEOUT)"})


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_limit_must_be_seconds(monkeypatch, text):
    monkeypatch.setenv("LVMBENCH_PLUGIN_TIMEOUT", text)
    with pytest.raises(UserError, match=f"LVMBENCH_PLUGIN_TIMEOUT: should be .* got '{text}'"):
        load_catalogue()


def test_limit_may_be_lifted(monkeypatch, load):
    monkeypatch.setenv("LVMBENCH_PLUGIN_TIMEOUT", "0")
    assert load("safety_unlimited") == (True, {})


def test_an_alarm_that_was_set_before_still_rings(limit):
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *arguments: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        with pytest.raises(Overtime), guarded([]):
            time.sleep(60)
        assert not rung
        for _ in range(600):
            time.sleep(0 if rung else 0.05)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_plugins_load_in_other_threads_without_a_limit(load):
    found = []
    thread = threading.Thread(target=lambda: found.append(load("safety_thread", "print('here')")))
    thread.start()
    thread.join()
    assert found == [(True, {"output": "at import it printed 'here'"})]


# --- global state -------------------------------------------------------------------------------------------

CHANGES = {
    "torch's default type": "torch.set_default_dtype(torch.float64)",
    "torch's default device": "torch.set_default_device('meta')",
    "torch's gradient mode": "torch.set_grad_enabled(False)",
    "torch's threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "the seed of torch": "torch.manual_seed(3)",
    "the seed of numpy": "numpy.random.seed(3)",
    "the seed of random": "random.seed(3)",
}


def state():
    generators = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return (
        *generators,
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.ones(1).device,
    )


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("where", ["import", "register"])
def test_global_state_is_restored_and_the_change_listed(load, what, where):
    before = state()
    code = f"import numpy, random, torch\n{CHANGES[what] if where == 'import' else ''}"
    name = f"safety_{list(CHANGES).index(what)}_{where}"
    loaded, problems = load(name, code, CHANGES[what] if where == "register" else "")
    assert (loaded, problems) == (True, {"state": f"at {where} it changed {what}, which is undone"})
    assert state() == before


def test_several_changes_are_undone_where_code_raises():
    before, changed = state(), []

    def change():
        random.seed(1)
        torch.manual_seed(1)
        torch.set_grad_enabled(False)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), preserved(changed):
        change()
    assert changed == ["the seed of random", "torch's gradient mode", "the seed of torch"]
    assert state() == before


def fresh(tmp_path, source, code):
    """Run code in a fresh interpreter beside a plugin ``fresh_plugin``."""
    (tmp_path / "fresh_plugin.py").write_text(source)
    code = f"""
import sys
from lvmbench.registry.loader import PluginSelection, load_catalogue
assert "torch" not in sys.modules
catalogue = load_catalogue(PluginSelection(extra=("fresh_plugin",)))
found = [(p.stage, p.message) for p in catalogue.problems]
assert ("prior", "fresh") in catalogue, found
{code}
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_torch_imported_by_the_plugin_has_its_defaults_again(tmp_path):
    source = "import torch\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)"
    code = """
import torch
assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
due = "at import it changed torch's default type, torch's gradient mode, which is undone"
assert found == [("state", due)], found
"""
    fresh(tmp_path, source + HOOK.format(name="fresh", inside=""), code)


def test_hook_that_imports_torch_is_called_slow(tmp_path):
    code = (
        "(problem,) = found\nassert problem[0] == 'slow' and 'register lazy targets' in problem[1], problem"
    )
    fresh(tmp_path, HOOK.format(name="fresh", inside="import torch"), code)


# --- in training and evaluation -----------------------------------------------------------------------------

MEDDLER = """
import lvmbench, random, torch
from lvmbench import DiagonalNormal, Evaluator, LatentSpace, Measurement, Metric, Prior


def meddle():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    torch.set_grad_enabled(False)
    torch.set_num_threads(3)


class Meddler(Prior):
    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.zeros = torch.nn.Parameter(torch.zeros(latent))
        meddle()

    @property
    def space(self):
        return LatentSpace(tuple(self.zeros.shape))

    def forward(self, model):
        return DiagonalNormal(self.zeros, self.zeros)


class Meddling(Evaluator):
    metrics = {"nothing": Metric("Nothing", "", "neither", "nothing at all")}

    def evaluate(self, subject):
        meddle()
        yield Measurement("nothing", 0.0)


@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("meddler", Meddler)
    register.evaluator("meddling", Meddling)
"""


@pytest.fixture
def undone():
    """Whatever happens in a test, the state of the test process is as before."""
    with preserved([]):
        yield


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("jobs", [0, 1])
@pytest.mark.parametrize("what", ["prior", "evaluator"])
def test_component_that_changes_global_state_changes_no_other_result(tiny, what, jobs):
    """It is trained, or measures, before the other; one worker does both."""
    path = tiny.plugin(f"safety_meddler_{what}_{jobs}", MEDDLER)
    usual = ["tightness[samples=20,repeats=5]"]
    tiny.run("alone", priors=["standard_normal"], jobs=jobs)
    changes = {
        "prior": {"priors": ["meddler", "standard_normal"]},
        "evaluator": {"evaluators": ["meddling", *usual]},
    }
    tiny.run("beside", **{"priors": ["standard_normal"], **changes[what]}, plugins=[path], jobs=jobs)

    def figures(out):
        found = tiny.frame("measurements", out).query(
            "prior == 'standard_normal' and evaluator != 'meddling'"
        )
        return found[["seed", "metric", "method", "value", "stderr"]].reset_index(drop=True)

    assert set(tiny.frame("records", "beside").query("prior == 'standard_normal'")["status"]) == {"ok"}
    pd.testing.assert_frame_equal(figures("alone"), figures("beside"), check_exact=True)


@pytest.mark.usefixtures("undone")
def test_module_of_a_component_that_changes_global_state_is_undone_when_it_is_imported(tmp_path, monkeypatch):
    """A lazy target is imported long after its plugin was loaded."""
    before = state()
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "safety_lazy_part.py").write_text(MEDDLER + "meddle()")
    (tmp_path / "safety_lazy.py").write_text(
        HOOK.format(name="lazy", inside="").replace("nothing:Nothing", "safety_lazy_part:Meddler")
    )
    catalogue = load_catalogue(PluginSelection(extra=("safety_lazy",)))
    assert catalogue.entry("prior", "lazy").load().__name__ == "Meddler"
    assert state() == before


WARNING = """
import warnings
import lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal

class Warning(StandardNormal):
    '''A prior that warns whenever it is asked.'''

    vectorizable = False

    def forward(self, model):
        warnings.warn("the sky\\x1b[31m is falling", RuntimeWarning, stacklevel=1)
        return super().forward(model)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("safety_warns", Warning)
"""


@pytest.mark.filterwarnings("default:the sky")
def test_warnings_of_components_are_remarks_of_their_runs_and_not_on_the_screen(tiny, capfd):
    tiny.run(plugins=[tiny.plugin("safety_warns", WARNING)], priors=["standard_normal", "safety_warns"])
    assert capfd.readouterr() == ("", "")
    for table in ("records", "evaluations"):
        found = tiny.frame(table).groupby("prior")["reason"].unique().map(list).to_dict()
        said = r"RuntimeWarning: the sky\x1b[31m is falling"
        assert found == {"standard_normal": [""], "safety_warns": [said]}
