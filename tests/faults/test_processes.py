"""Several processes on one store, and killed ones: each run is done once, and nothing is lost."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter

import pytest

from lvmbench.results.tables import read_results
from tests.conftest import SUITE

PLUGIN = """
import json, os, time, lvmbench
from lvmbench import Evaluator, Measurement, Metric
from lvmbench_plugins.priors.standard_normal import StandardNormal

def note(what):
    with open("JOURNAL", "a") as file:
        file.write(what + "\\n")

class Journal(StandardNormal):
    "A standard normal that notes each model that it is part of and that is trained."
    refreshes = True
    def __init__(self, data, latent, *, number: int = 0):
        super().__init__(data, latent)
        self.number = number
    def refresh(self, train, model):
        if not getattr(self, "seen", False):
            self.seen = True
            note(f"train {self.number}")
        time.sleep(0.02)

class Noting(Evaluator):
    metrics = {"figure": Metric("Figure", "nats", "higher", "a figure")}
    def evaluate(self, subject):
        note(f"measure {subject.model.prior.number} {subject.seed}")
        x = subject.data.splits["test"].x[:1]
        yield Measurement("figure", float(subject.model.log_joint(x, subject.model.q(x).mean[None]).sum()))

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("journal", Journal)
    register.evaluator("noting", Noting)
"""


@pytest.fixture
def suite(tmp_path):
    """A suite whose components note what is done, and how to start it and to read what was done."""
    return Journaled(tmp_path)


class Journaled:
    def __init__(self, folder):
        self.folder = folder
        (folder / "journal.py").write_text(PLUGIN.replace("JOURNAL", str(folder / "journal.txt")))
        priors = [f"journal[number={number}]" for number in range(6)]
        what = {"priors": priors, "evaluators": ["noting", "tightness[samples=20,repeats=5]"]}
        (folder / "tiny.yaml").write_text(json.dumps({**SUITE, **what}))

    def start(self, out="out"):
        command = [sys.executable, "-m", "lvmbench", "run", "tiny.yaml", "--out", out, "--jobs", "1"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([*command, "--plugin", "journal.py"], cwd=self.folder, **streams)

    def journal(self):
        path = self.folder / "journal.txt"
        return Counter(path.read_text().splitlines()) if path.exists() else Counter()

    def figures(self, out="out"):
        records, measurements = read_results(self.folder / out)
        assert records["status"].tolist() == ["ok"] * 12
        names = ["prior", "seed", "metric", "variant", "method"]
        return {tuple(row[name] for name in names): row["value"] for _, row in measurements.iterrows()}


def ended(process):
    said = process.communicate(timeout=500)[0]
    assert "Traceback" not in said, said
    return process.returncode


def assert_done_once(journal):
    assert set(journal.values()) == {1}, journal
    assert sum(what.startswith("train") for what in journal) == 6
    assert sum(what.startswith("measure") for what in journal) == 12


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_on_one_store_divide_the_work(suite, count):
    assert [ended(p) for p in [suite.start() for _ in range(count)]] == [0] * count
    assert_done_once(suite.journal())
    assert len(suite.figures()) > 12


@pytest.mark.slow
def test_the_runs_of_a_process_that_is_killed_are_taken_over(suite):
    one, other = suite.start(), suite.start()
    while sum(suite.journal().values()) < 3:
        assert one.poll() is None
    one.kill()
    one.communicate()
    assert ended(other) == 0
    journal = suite.journal()
    assert {what for what, times in journal.items() if times > 1} <= set(list(journal)[:6])
    assert len([what for what, times in journal.items() if times > 1]) <= 1, "at most the job that was killed"
    assert len(suite.figures()) > 12


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_gives_the_figures_of_an_undisturbed_one(suite):
    ended(suite.start("undisturbed"))
    before, draw, kills = suite.journal(), random.Random(0), 20
    for _ in range(kills):
        process = suite.start()
        try:
            process.communicate(timeout=draw.uniform(1, 12))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert ended(suite.start()) == 0
    # a seed that is trained apart from its pack differs in the last digits
    assert suite.figures() == pytest.approx(suite.figures("undisturbed"), rel=1e-4, abs=1e-4)
    again = sum(max(0, times - 2) for times in suite.journal().values())
    assert again <= kills, "each kill costs the job that ran, and no other"
    assert before.keys() == suite.journal().keys()
    assert os.path.exists(suite.folder / "out" / "leaderboard.md")
