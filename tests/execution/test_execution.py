"""Executors and workers: isolation, limits, and the same results wherever a job runs."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import lvmbench
from lvmbench.execution.interruption import Interrupted, Interruption
from lvmbench.execution.local import HereExecutor
from lvmbench.execution.progress import NowAndThen, Progress
from lvmbench.results.weights import weights_file
from tests.conftest import Tiny

PARTS = """
import json, os, signal, sys, time, torch, lvmbench
from lvmbench import DiagonalNormal, Posterior

class Base(Posterior):
    distribution = DiagonalNormal
    def __init__(self, data, space):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.zeros(space.event_shape))
    def forward(self, x, model):
        self.act()
        return DiagonalNormal(self.loc.expand(len(x), -1), torch.zeros(()))

class Dying(Base):
    def act(self):
        os.kill(os.getpid(), signal.SIGKILL)

class Leaving(Base):
    def act(self):
        os._exit(7)

class Spending(Base):
    def act(self):
        raise MemoryError

class Telling(Base):
    def act(self):
        deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        facts = {"pid": os.getpid(), "threads": torch.get_num_threads(), "deaf": deaf}
        facts["slow to import"] = [name for name in ("torch._dynamo", "sympy") if name in sys.modules]
        with open("FACTS", "w") as file:
            json.dump(facts, file)

class Sleeping(Telling):
    def act(self):
        super().act()
        time.sleep(1000)

@lvmbench.hookimpl
def lvmbench_register(register):
    for part in (Dying, Leaving, Spending, Telling, Sleeping):
        register.posterior(part.__name__.lower(), part)
"""


def plugin(tiny, name):
    return tiny.plugin(name, PARTS.replace("FACTS", str(tiny.folder / "facts.json")))


def facts(tiny):
    """What the posterior that tells has told of its process."""
    return json.loads((tiny.folder / "facts.json").read_text())


def test_a_worker_that_dies_costs_only_its_job(tiny):
    posteriors = ["dying", "leaving", "spending", "gaussian[hidden=8]"]
    what = {"posteriors": posteriors, "priors": ["standard_normal"]}
    tiny.run(plugins=[plugin(tiny, "deadly")], jobs=1, **what)
    records = tiny.frame()
    found = records.groupby("posterior")["status"].agg(Counter).to_dict()
    assert found == {
        "dying": {"killed": 2},
        "leaving": {"killed": 2},
        "spending": {"oom": 2},
        "gaussian[hidden=8]": {"ok": 2},
    }
    reasons = records.groupby("posterior")["reason"].first()
    assert "killed (signal 9, SIGKILL)" in reasons["dying"]
    assert "ended by itself (exit code 7)" in reasons["leaving"]
    assert tiny.frame("evaluations")["status"].tolist() == ["ok"] * 2


def test_a_job_that_takes_too_long_is_ended(tiny):
    what = {"posteriors": ["sleeping"], "priors": ["standard_normal"], "seeds": [0]}
    tiny.run(plugins=[plugin(tiny, "sleepy")], jobs=1, options={"timeout": 2}, **what)
    records = tiny.frame()
    assert records["status"].tolist() == ["timeout"]
    assert records["reason"].tolist() == ["took longer than 2 s (--timeout)"]


def test_worker_processes_change_no_figure(tiny):
    posteriors = {"posteriors": ["telling", "gaussian[hidden=8]"], "priors": ["standard_normal"]}
    what = {"plugins": [plugin(tiny, "telling")], **posteriors}
    tiny.run("workers", jobs=2, **what)
    told = facts(tiny)
    assert told["pid"] != os.getpid()
    assert told["threads"] == 1
    assert told["deaf"], "an interruption reaches workers while they start"
    assert told["slow to import"] == []
    tiny.run("here", **what)
    assert facts(tiny)["pid"] == os.getpid()
    one, two = ((tiny.folder / out / "measurements.csv").read_bytes() for out in ("workers", "here"))
    assert one == two


SCRIPT = """
import sys
import lvmbench
from lvmbench.cli import main

assert not {{"torch", "pandas"}} & set(sys.modules), "importing lvmbench"
sys.argv = {words!r}
try:
    main()
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules, "running a suite by the command"
lvmbench.run({suite!r}, {out!r}, seeds=1, jobs=1)
lvmbench.fit
"""


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """What a script leaves and says that imports lvmbench, runs a suite by the command, and then another."""
    tiny = Tiny(tmp_path_factory.mktemp("scripted"))
    one, suite = tiny.folder / "one.yaml", tiny.folder / "tiny.yaml"
    tiny.write(suite="one", priors=["standard_normal"], seeds=[0]).rename(one)
    tiny.write()
    command = ["run", str(one), "--out", str(tiny.folder / "command"), "--jobs", "1", "--no-baselines"]
    script = tiny.folder / "script.py"
    words = {"words": ["lvmbench", *command], "suite": str(suite), "out": str(tiny.folder / "out")}
    script.write_text(SCRIPT.format(**words))
    return tiny, subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)


def test_nothing_heavy_is_imported_before_it_is_needed(scripted):
    """Not by lvmbench itself, and no torch by the command that runs a suite: it is where models are."""
    _, done = scripted
    assert (done.returncode, done.stderr) == (0, "")


def test_pictures_of_models_come_from_where_these_are(scripted):
    tiny, _ = scripted
    assert 'id="model-' in (tiny.folder / "command" / "report.html").read_text(encoding="utf-8")


def test_a_script_needs_no_guard(scripted):
    """Worker processes do not import the script."""
    tiny, done = scripted
    assert (done.returncode, done.stderr) == (0, "")
    assert list(lvmbench.load(tiny.folder / "out").records["status"]) == ["ok"] * 2


def double(job, tell):
    return 2 * job


def test_jobs_may_be_submitted_while_others_end():
    found = []
    with HereExecutor() as executor:
        for number in range(3):
            executor.submit(number, "tests.execution.test_execution:double", number)
            assert executor.room == 0
            found += [(ended.number, ended.outcome) for ended in executor.completed(0)]
            assert executor.room == 1
    assert found == [(0, 0), (1, 2), (2, 4)]


def test_progress_is_told_now_and_then_and_at_the_end(monkeypatch):
    told, clock = [], iter([0.0, 0.1, 0.3, 0.31])
    monkeypatch.setattr("lvmbench.execution.progress.time.monotonic", lambda: next(clock))
    tell = NowAndThen(told.append)
    for done in (1, 2, 3, 9):
        tell(Progress("train", done, 9))
    assert [progress.done for progress in told] == [1, 3, 9]


def test_names_of_weights_differ_with_their_keys():
    keys = [f"{i:064x}"[::-1] for i in range(100)]
    assert len({weights_file(Path(), key) for key in keys}) == 100


RUDE = """
import random, numpy, torch, lvmbench
from lvmbench import DiagonalNormal, LatentSpace, Prior

class Rude(Prior):
    "Changes what all share."
    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent))
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(7)
        numpy.random.seed(7)
        random.seed(7)

    @property
    def space(self):
        return LatentSpace(tuple(self.zeros.shape))

    def forward(self, model):
        return DiagonalNormal(self.zeros, self.zeros)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("rude", Rude)
"""


def test_a_component_that_changes_global_state_changes_no_other_result(tiny):
    """The combination that follows the rude one in the same process gives what it gives alone.

    The rude one says so.
    """
    plugin = tiny.plugin("rude_prior", RUDE)
    tiny.run("both", plugins=[plugin], priors=["rude", "standard_normal"])
    tiny.run("alone", priors=["standard_normal"])
    both, alone = tiny.frame("measurements", out="both"), tiny.frame("measurements", out="alone")
    kept = both[both["prior"] == "standard_normal"].reset_index(drop=True)
    assert kept.equals(alone)
    reasons = tiny.frame(out="both").set_index("prior")["reason"]
    assert reasons["rude"].str.contains("torch's default type").all()


def test_an_interruption_waits_for_a_safe_place_and_a_third_one_does_not():
    before, interruption = signal.getsignal(signal.SIGINT), Interruption()
    with interruption.heard(here=False):
        assert not interruption.asked
        signal.raise_signal(signal.SIGINT)
        assert interruption.asked
        interruption.stop_if_urgent()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            interruption.stop_if_urgent()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_a_second_interruption_ends_a_job_in_this_process():
    with Interruption().heard(here=True):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
