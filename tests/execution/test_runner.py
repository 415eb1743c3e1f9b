"""Running suites: what is stored, what is done again, and what interruptions leave behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import lvmbench
from lvmbench.execution import worker
from lvmbench.execution.executor import Crash
from lvmbench.results.missing import missing_evaluations
from lvmbench.results.tables import read_results
from lvmbench.status import Status

TABLES = ("records.csv", "measurements.csv", "evaluations.csv", "leaderboard.csv", "leaderboard.md")
TIMINGS = ["train_seconds", "started", "finished", "environment", "pack", "peak_memory_host"]


def content(folder, names=TABLES):
    return {name: (folder / name).read_bytes() for name in names}


def weights(folder):
    """Each stored file of weights with its bytes and its time."""
    files = sorted((folder / "weights").glob("*.safetensors"))
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def assert_alike(one, other, tolerance=1e-4):
    """Two results directories hold the same runs and figures, timings aside."""
    for mine, yours in zip(read_results(one), read_results(other), strict=True):
        real = ["value", "stderr"] if "value" in mine else []
        drop = [name for name in (*TIMINGS, "weights_sha256") if name in mine] + real
        pd.testing.assert_frame_equal(mine.drop(columns=drop), yours.drop(columns=drop))
        for name in real:
            a, b = (torch.tensor(frame[name].to_numpy()) for frame in (mine, yours))
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def test_a_suite_from_end_to_end(tiny, monkeypatch):
    monkeypatch.undo()  # with figures
    summary = tiny.run(decoders=["linear_gaussian", "bernoulli"])
    assert (summary.counts, summary.evaluations, summary.trained) == ({"ok": 4, "refused": 4}, {"ok": 4}, 4)
    assert not summary.failed
    assert {n for n, *_ in tiny.reporter.finished} == {
        f"blobs[test=20,train=60,validation=20] · {p} · gaussian[hidden=8,layers=1] · linear_gaussian "
        "· elbo · blend"
        for p in ("standard_normal", "mixture[components=2]")
    }
    out = tiny.folder / "out"
    left = {".sqlite-wal", ".sqlite-shm"}
    assert {f.name for f in out.iterdir() if not left & {f.suffix}} == {
        *TABLES,
        *(
            "curves.csv",
            "leaderboard.svg",
            "curves.svg",
            "baselines.csv",
            "figures.csv",
            "front.svg",
            "environment.json",
            "suite.yaml",
            "store.sqlite",
            "weights",
        ),
    }
    records = tiny.frame()
    assert records["seed"].tolist() == [0, 1] * 4
    ok = records[records["status"] == "ok"]
    assert set(ok["trained_epochs"]) == {3}
    assert set(ok["pack"]) == {2}
    assert set(ok["device"]) == {"cpu"}
    refused = records[records["status"] == "refused"]
    assert refused["reason"].str.contains("decoder 'bernoulli' requires dataset.binary").all()
    assert {len(load_file(f)) for f in (out / "weights").glob("*.safetensors")} == {7, 10}
    assert {len(f) for f in [*load_file(next((out / "weights").glob("*/*.safetensors"))).values()]} == {20}
    assert len(tiny.frame("curves")) == 4 * 3


def test_the_files_hold_what_the_store_holds(tiny):
    tiny.have()
    for name in ("records", "measurements", "evaluations", "curves"):
        written = pd.read_csv(tiny.folder / "out" / f"{name}.csv")
        stored = pd.read_csv(StringIO(tiny.frame(name).to_csv(index=False)))
        pd.testing.assert_frame_equal(written[stored.columns], stored)
        assert len(written) > 0


def test_what_took_how_long_is_kept_apart_from_what_was_measured(tiny):
    tiny.have()
    for table in ("measurements", "curves"):
        assert not [name for name in tiny.frame(table).columns if re.search("second|time|started", name)]
    assert not tiny.frame("measurements")["metric"].str.contains("second|memory").any()


def test_running_again_does_nothing(tiny):
    tiny.have()
    before, trained = content(tiny.folder / "out"), weights(tiny.folder / "out")
    tiny.reporter.packs = None
    summary = tiny.run()
    assert (summary.trained, tiny.reporter.packs) == (0, None)
    assert content(tiny.folder / "out") == before
    assert weights(tiny.folder / "out") == trained


def test_two_directories_get_the_same_figures_to_the_last_digit(tiny):
    tiny.have("one")
    tiny.run("two")
    one, two = (content(tiny.folder / out, ["measurements.csv"]) for out in ("one", "two"))
    assert one == two


def test_more_seeds_train_only_the_new_ones(tiny):
    tiny.have(seeds=[0])
    before, first = tiny.frame(), weights(tiny.folder / "out")
    summary = tiny.run(seeds=[0, 1, 2])
    assert summary.trained == 4
    after = tiny.frame()
    pd.testing.assert_frame_equal(after[after["seed"] == 0].reset_index(drop=True), before)
    assert first.items() <= weights(tiny.folder / "out").items()
    tiny.have("undisturbed", seeds=[0, 1, 2])
    assert_alike(tiny.folder / "out", tiny.folder / "undisturbed")


def test_fewer_seeds_or_combinations_leave_the_others(tiny):
    tiny.have()
    before = content(tiny.folder / "out", TABLES[:3])
    assert tiny.run(seeds=[0]).trained == 0
    assert content(tiny.folder / "out", TABLES[:3]) == before
    stored = {table: tiny.frame(table) for table in ("records", "measurements", "evaluations")}
    assert tiny.run(priors=["standard_normal"]).trained == 0
    for table, frame in stored.items():
        pd.testing.assert_frame_equal(tiny.frame(table), frame)


def test_a_new_evaluator_never_trains(tiny):
    tiny.have()
    before, figures = weights(tiny.folder / "out"), tiny.frame("measurements")
    summary = tiny.run(evaluators=["tightness[samples=20,repeats=5]", "clustering"])
    assert summary.trained == 0
    assert weights(tiny.folder / "out") == before
    after = tiny.frame("measurements")
    assert set(after["evaluator"]) == {"tightness[repeats=5,samples=20]", "clustering"}
    pd.testing.assert_frame_equal(after[after["evaluator"] != "clustering"].reset_index(drop=True), figures)


EVALUATORS = """
import math, torch, lvmbench
from lvmbench import Evaluator, Measurement, Metric, Refusal

class Base(Evaluator):
    metrics = {"figure": Metric("Figure", "nats", "higher", "a figure")}
    def evaluate(self, subject):
        return self.give()

def evaluator(give):
    return type("Made", (Base,), {"give": staticmethod(give)})

def raises(error):
    def give():
        yield Measurement("figure", 1.0)
        raise error
    return give

both = torch.arange(3.0)
CASES = {
    "fails": raises(ValueError("told\\nso")),
    "exits": raises(SystemExit(3)),
    "spends": raises(MemoryError()),
    "allocates": lambda: [Measurement("figure", float(torch.empty(10**16)[0]))],
    "refuses": raises(Refusal("cannot be done")),
    "nan": lambda: [Measurement("figure", math.nan)],
    "nanerror": lambda: [Measurement("figure", 1.0, math.nan)],
    "twice": lambda: [Measurement("figure", 1.0, variant="a"), Measurement("figure", 2.0, variant="a")],
    "unknown": lambda: [Measurement("figur", 1.0)],
    "tensor": lambda: [Measurement("figure", torch.tensor(1.5), torch.tensor(0.5))],
    "shared": lambda: [Measurement("figure", 1.0, variant=v, per_datum=both) for v in "ab"],
    "nothing": lambda: [],
}

@lvmbench.hookimpl
def lvmbench_register(register):
    for name, give in CASES.items():
        register.evaluator(name, evaluator(give))
    register.evaluator("picky", type("Picky", (Base,), {"requires": frozenset({"dataset.sequence"})}))
    register.evaluator("absent", "no_such_module:Thing")
"""
ENDINGS = {
    "fails": ("failed", "ValueError: told so"),
    "exits": ("failed", "SystemExit: 3"),
    "spends": ("oom", "MemoryError"),
    "allocates": ("oom", "can't allocate memory"),
    "refuses": ("refused", "cannot be done"),
    "picky": ("refused", "evaluator 'picky' requires dataset.sequence"),
    "absent": ("unavailable", "No module named 'no_such_module'"),
    "nan": ("failed", "figure' is nan with standard error None; both must be finite"),
    "nanerror": ("failed", "figure' is 1.0 with standard error nan; both must be finite"),
    "twice": ("failed", "the evaluator gives 2 measurements called figure / a"),
    "unknown": ("failed", "metric 'figur' is not among the evaluator's metrics; did you mean 'figure'?"),
    "tensor": ("ok", ""),
    "shared": ("ok", ""),
    "nothing": ("ok", ""),
}


def test_an_evaluator_that_fails_says_why_and_the_others_go_on(tiny):
    plugin = tiny.plugin("failing_evaluators", EVALUATORS)
    names = [*ENDINGS, "tightness[samples=20,repeats=5]"]
    summary = tiny.run(plugins=[plugin], evaluators=names, priors=["standard_normal"], seeds=[0])
    assert summary.failed
    assert summary.counts == {"ok": 1}
    found = tiny.frame("evaluations").set_index("evaluator")
    for name, (status, reason) in ENDINGS.items():
        assert found.loc[name, "status"] == status, name
        assert reason in found.loc[name, "reason"], name
    assert found.loc["tightness[repeats=5,samples=20]", "status"] == "ok"
    measured = tiny.frame("measurements")
    assert set(measured["evaluator"]) == {"tensor", "shared", "tightness[repeats=5,samples=20]"}
    assert measured.set_index("evaluator").loc["tensor", ["value", "stderr"]].tolist() == [1.5, 0.5]


def test_weights_that_are_lost_or_changed_are_named_and_trained_anew(tiny):
    tiny.have(priors=["standard_normal"])
    out = tiny.folder / "out"
    tables = ["measurements.csv", "records.csv"]
    before, first = content(out, tables[:1]), tiny.frame().set_index("key")["weights_sha256"]
    files = sorted((out / "weights").glob("*.safetensors"))
    files[0].unlink()
    flip(files[1])
    assert tiny.run(priors=["standard_normal"]).trained == 2
    said = {words.split()[4]: words for words in tiny.reporter.said}
    assert said[files[0].stem].endswith("are missing: it is trained again")
    assert "are not those that were trained (sha256" in said[files[1].stem]
    assert content(out, tables[:1]) == before
    assert tiny.frame().set_index("key")["weights_sha256"].equals(first)
    assert tiny.run(priors=["standard_normal"]).trained == 0


def test_weights_that_are_lost_or_changed_are_never_measured(tiny):
    tiny.have(priors=["standard_normal"])
    files = sorted((tiny.folder / "out" / "weights").glob("*.safetensors"))
    files[0].unlink()
    flip(files[1])
    lost = tiny.run(priors=["standard_normal"], evaluators=["clustering"], training=False)
    assert (lost.trained, lost.evaluations) == (0, {"ok": 2, "failed": 2})
    reasons = tiny.frame("evaluations")["reason"]
    for wrong in ("are missing; lvmbench run or retry", "are not those that were trained (sha256"):
        assert reasons.str.contains(wrong, regex=False).sum() == 1
    with tiny.store() as store:
        assert store.reopen_evaluations(["failed"]) == 2
    again = tiny.run(priors=["standard_normal"])
    assert (again.trained, again.evaluations) == (2, {"ok": 4})


def flip(file):
    """Change a byte of a tensor, so that the file is one of weights as before."""
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def forget_weights(tiny):
    for file in (tiny.folder / "out" / "weights").glob("*.safetensors"):
        file.unlink()


def names_of(tiny, **wanted):
    """The evaluators of the evaluations that are like this."""
    found = tiny.frame("evaluations")
    for column, value in wanted.items():
        found = found[found[column] == value]
    return set(found["evaluator"])


ONE = {"priors": ["standard_normal"], "seeds": [0]}


def test_a_model_that_is_trained_anew_is_measured_by_all_that_measured_it(tiny, monkeypatch):
    """Also by those that the suite does not name, and where the run is killed before they have done it."""
    tiny.have(**ONE)
    tiny.run(**ONE, evaluators=["informativeness[samples=20]"], training=False)
    before = tiny.frame("measurements")
    forget_weights(tiny)
    everything = {"tightness[repeats=5,samples=20]", "informativeness[samples=20]", "clustering"}

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lvmbench.execution.worker._measure", stop)
        with pytest.raises(KeyboardInterrupt):
            tiny.run(**ONE, evaluators=["clustering"])
    assert names_of(tiny, status="interrupted") == everything - {"clustering"}
    assert tiny.run(**ONE, evaluators=["clustering"]).trained == 0
    assert names_of(tiny, status="ok") == everything
    after = tiny.frame("measurements")
    kept = after[after["evaluator"] != "clustering"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)


def test_an_evaluator_beside_the_suites_own_is_retried_too(tiny, monkeypatch):
    tiny.have(**ONE)

    def fail(*arguments):
        raise ValueError("not yet")

    with monkeypatch.context() as patch:
        patch.setattr("lvmbench.execution.worker._measure", fail)
        tiny.run(**ONE, evaluators=["clustering"], training=False)
    assert names_of(tiny, status="failed") == {"clustering"}
    with tiny.store() as store:
        store.reopen_evaluations(["failed"])
    tiny.run(**ONE)
    assert names_of(tiny, status="ok") == {"tightness[repeats=5,samples=20]", "clustering"}


def test_what_this_process_trains_is_told_of_while_it_does(tiny):
    tiny.run(**ONE, jobs=0)
    told = [(p.done, p.total) for p in tiny.reporter.heard if p.phase == "train"]
    assert (told[0], told[-1]) == ((1, 3), (3, 3))


def test_measurements_are_stored_and_told_of_one_by_one(tiny, monkeypatch):
    """One that takes too long, or kills its process, costs no other.

    And each is in the store before the next begins.
    """
    names = ["clustering", "informativeness[samples=20]", "tightness[repeats=5,samples=20]", "cost"]
    stored, kept = [], worker.evaluate_job

    def evaluate(work, tell):
        stored.append(len(tiny.frame("evaluations")))
        crashes = {"clustering": Crash(Status.TIMEOUT, "too long"), "cost": Crash(Status.KILLED, "died")}
        return crashes.get(work.evaluator.name) or kept(work, tell)

    monkeypatch.setattr("lvmbench.execution.worker.evaluate_job", evaluate)
    tiny.run(**ONE, evaluators=names)
    assert stored == [0, 1, 2, 3]
    assert names_of(tiny, status="ok") == set(names[1:3])
    assert names_of(tiny, status="timeout") == {"clustering"}
    assert names_of(tiny, status="killed") == {"cost"}
    phases = [(p.phase, p.done, p.total) for p in tiny.reporter.heard if p.phase.startswith("evaluate")]
    told = [phase for phase in phases if not phase[0].endswith("%")]
    assert told == [(f"evaluate {name.partition('[')[0]}", i + 1, 4) for i, name in enumerate(names)]


LATE = """
from pathlib import Path
import lvmbench
from lvmbench import Evaluator, Measurement, Metric, Posterior, Unavailable
from lvmbench_plugins.posteriors.gaussian import Gaussian

def look():
    if not Path("MARK").exists():
        raise Unavailable("late needs the package 'later': pip install later")

class LateEvaluator(Evaluator):
    metrics = {"figure": Metric("Figure", "nats", "higher", "a figure")}
    def __init__(self, *, early: bool = True):
        self.early = early
        if early:
            look()
    def evaluate(self, subject):
        look()
        yield Measurement("figure", 1.0)

class LatePosterior(Posterior):
    distribution = Gaussian.distribution
    def __init__(self, data, space):
        super().__init__()
        look()
        self.inner = Gaussian(data, space, hidden=8, layers=1)
    def forward(self, x, model):
        return self.inner(x, model)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.evaluator("late", LateEvaluator)
    register.posterior("late", LatePosterior)
"""


@pytest.fixture
def late(tiny):
    """A plugin whose components lack a package until the mark is there."""
    return tiny.plugin(f"late_{tiny.folder.name}", LATE.replace("MARK", str(tiny.folder / "mark")))


@pytest.mark.parametrize("evaluator", ["late", "late[early=false]"])
@pytest.mark.parametrize("training", [True, False], ids=["run", "evaluate"])
def test_an_evaluator_that_lacked_a_package_measures_once_it_is_there(tiny, late, evaluator, training):
    what = {**ONE, "plugins": [late], "evaluators": ["tightness[samples=20,repeats=5]", evaluator]}
    assert tiny.run(**what).failed
    assert names_of(tiny, status="unavailable") == {evaluator}
    assert "pip install later" in tiny.frame("evaluations")["reason"].iloc[0]
    tiny.run(**what, training=training)
    assert names_of(tiny, status="unavailable") == {evaluator}
    (tiny.folder / "mark").touch()
    assert tiny.run(**what, training=training).evaluations == {"ok": 2}


def test_what_still_lacks_a_package_is_not_tried_again(tiny, late):
    what = {**ONE, "plugins": [late], "evaluators": ["tightness[samples=20,repeats=5]", "late"]}
    tiny.run(**what)
    tiny.reporter.packs = None
    tiny.run(**what)
    assert tiny.reporter.packs is None


def test_a_part_that_lacked_a_package_is_trained_once_it_is_there(tiny, late):
    what = {**ONE, "plugins": [late], "posteriors": ["late"]}
    assert tiny.run(**what).counts == {"unavailable": 1}
    assert tiny.run(**what).trained == 0
    (tiny.folder / "mark").touch()
    assert tiny.run(**what).counts == {"ok": 1}


def test_weights_of_another_model_are_not_measured(tiny):
    tiny.have(priors=["standard_normal"], seeds=[0])
    tiny.have("other", priors=["mixture[components=2]"], seeds=[0])
    file, other = (next((tiny.folder / out / "weights").glob("*.safetensors")) for out in ("out", "other"))
    file.write_bytes(other.read_bytes())
    tiny.run(priors=["standard_normal"], seeds=[0], evaluators=["clustering"], training=False)
    found = tiny.frame("evaluations").set_index("evaluator").loc["clustering"]
    assert found["status"] == "failed"
    assert "are not those that were trained" in found["reason"]


PARTS = """
import os, torch, lvmbench
from torch import nn
from lvmbench import DiagonalNormal, Posterior, Refusal

class Base(Posterior):
    distribution = DiagonalNormal
    def __init__(self, data, space):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(space.event_shape))
    def forward(self, x, model):
        self.act()
        return DiagonalNormal(self.loc.expand(len(x), -1), torch.zeros(()))
    def act(self):
        pass

class Failing(Base):
    def act(self):
        if not os.path.exists("MARK"):
            raise ValueError("not yet")

class Exiting(Base):
    def act(self):
        raise SystemExit("enough")

class Spending(Base):
    def act(self):
        raise MemoryError

class Allocating(Base):
    def act(self):
        torch.empty(10**16)

class Diverging(Base):
    def forward(self, x, model):
        return DiagonalNormal(self.loc.expand(len(x), -1) * torch.nan, torch.zeros(()))

class Refusing(Base):
    def __init__(self, data, space):
        raise Refusal("not with me")

class Breaking(Base):
    def __init__(self, data, space):
        raise KeyError("broken")

class Requiring(Base):
    requires = frozenset({"dataset.sequence"})

@lvmbench.hookimpl
def lvmbench_register(register):
    for part in (Failing, Exiting, Spending, Allocating, Diverging, Refusing, Breaking, Requiring):
        register.posterior(part.__name__.lower(), part)
    register.posterior("absent", "no_such_module:Thing")
"""
FATES = {
    "failing": ("failed", "ValueError: not yet"),
    "exiting": ("failed", "SystemExit: enough"),
    "spending": ("oom", "MemoryError"),
    "allocating": ("oom", "can't allocate memory"),
    "diverging": ("diverged", "epoch 1: training bound nan"),
    "refusing": ("refused", "not with me"),
    "breaking": ("failed", "KeyError: 'broken'"),
    "requiring": ("refused", "requires dataset.sequence"),
    "absent": ("unavailable", "No module named 'no_such_module'"),
}


def parts_plugin(tiny, name):
    """Posteriors with every fate; ``failing`` works once the mark is there."""
    return tiny.plugin(name, PARTS.replace("MARK", str(tiny.folder / "mark")))


def test_a_component_that_fails_says_why_and_the_others_go_on(tiny):
    plugin = parts_plugin(tiny, "failing_parts")
    summary = tiny.run(
        plugins=[plugin], posteriors=[*FATES, "gaussian[hidden=8]"], priors=["standard_normal"]
    )
    assert summary.failed
    records = tiny.frame(details=True)
    assert len(records) == 2 * (len(FATES) + 1)
    for _, row in records.iterrows():
        status, reason = FATES.get(row["posterior"], ("ok", ""))
        assert row["status"] == status, row["posterior"]
        assert reason in row["reason"], row["posterior"]
        assert ("Traceback" in str(row["traceback"])) == (status in {"failed", "oom"}), row["posterior"]
    assert set(tiny.frame("measurements")["posterior"]) == {"gaussian[hidden=8]"}


def test_what_failed_is_redone_only_when_it_is_reopened(tiny):
    plugin = parts_plugin(tiny, "mended_part")
    what = {
        "plugins": [plugin],
        "posteriors": ["failing", "gaussian[hidden=8]"],
        "priors": ["standard_normal"],
    }
    assert tiny.run(**what).counts == {"failed": 2, "ok": 2}
    (tiny.folder / "mark").touch()
    assert tiny.run(**what).trained == 0
    records = tiny.frame()
    with tiny.store() as store:
        store.reopen(records.loc[records["status"] == "failed", "key"])
    summary = tiny.run(**what)
    assert (summary.counts, summary.trained, summary.evaluations) == ({"ok": 4}, 2, {"ok": 4})
    assert tiny.frame(details=True)["traceback"].isna().all()


@pytest.mark.parametrize("fate", ["refusing", "requiring", "absent", "diverging"])
def test_reopening_what_still_cannot_run_gives_the_same_answer(tiny, fate):
    plugin = parts_plugin(tiny, f"still_{fate}")
    what = {"plugins": [plugin], "posteriors": [fate], "priors": ["standard_normal"]}
    tiny.run(**what)
    before = tiny.frame()
    with tiny.store() as store:
        store.reopen(before["key"])
    assert tiny.run(**what).counts == {FATES[fate][0]: 2}
    pd.testing.assert_series_equal(tiny.frame()["reason"], before["reason"])


def test_a_component_that_becomes_available_is_trained(tiny):
    """And its results stay when it goes away again."""
    what = {"posteriors": ["late"], "priors": ["standard_normal"]}
    text = PARTS.replace('"absent", "no_such_module:Thing"', '"late", TARGET')
    without = tiny.plugin("late_without", text.replace("TARGET", '"no_such_module:Thing"'))
    there = tiny.plugin("late_there", text.replace("TARGET", "Base"))
    assert tiny.run(plugins=[without], **what).counts == {"unavailable": 2}
    summary = tiny.run(plugins=[there], **what)
    assert (summary.counts, summary.trained) == ({"ok": 2}, 2)
    assert tiny.run(plugins=[without], **what).counts == {"ok": 2}


def test_a_changed_budget_never_mixes_with_the_results_of_the_one_before(tiny):
    tiny.have()
    before = len(tiny.frame())
    assert tiny.run(budget={"epochs": 2, "batch": 20, "patience": 0}).trained == before
    records = lvmbench.load(tiny.folder / "out").records
    asked = records[records["asked_by"] == "suite"]
    assert (len(records), len(asked)) == (2 * before, before)
    assert set(asked["epochs"]) == {2}
    board = lvmbench.load(tiny.folder / "out").board()
    assert (board.unasked.runs, "epochs" in board.names) == (before, False)


def test_a_grid_of_settings_is_trained_and_told_apart(tiny):
    what = {"priors": ["standard_normal"], "latent": [2, 3]}
    budget = {"epochs": 2, "batch": 20, "patience": 0, "learning_rate": [0.01, 0.001]}
    assert tiny.run(budget=budget, **what).counts == {"ok": 8}
    results = lvmbench.load(tiny.folder / "out")
    board = results.board()
    assert list(board.names[-2:]) == ["latent", "learning_rate"]
    rows = board.frame[["latent", "learning_rate", "seeds"]].itertuples(index=False, name=None)
    assert sorted(rows) == [(2, 0.001, 2), (2, 0.01, 2), (3, 0.001, 2), (3, 0.01, 2)]
    assert set(results.effects()["axis"]) == {"latent", "learning_rate"}
    text = (tiny.folder / "out" / "leaderboard.md").read_text()
    assert "| rank | latent | learning_rate | ELBO" in text
    assert "## Effects" in text
    slow = results.records.query("latent == 3 and learning_rate == 0.001").iloc[0]
    fitted = results.fitted(slow)
    assert (fitted.combination.latent, fitted.combination.budget.learning_rate) == (3, 0.001)
    assert fitted.model.p().mean.shape == (3,)
    tables, _ = read_results(tiny.folder / "out")
    assert (tables["learning_rate"].tolist(), tables["clip"].isna().all()) == (
        results.records["learning_rate"].tolist(),
        True,
    )
    assert tiny.run(budget=budget, **what).trained == 0


def test_every_planned_run_has_its_row_before_anything_is_trained(tiny, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("lvmbench.execution.session.Session.run", stop)
    with pytest.raises(KeyboardInterrupt):
        tiny.run()
    records, _ = read_results(tiny.folder / "out")
    assert records["status"].tolist() == ["interrupted"] * 4
    assert set(records["reason"]) == {"not finished yet"}


def test_an_interruption_between_training_and_evaluation_is_made_good(tiny, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lvmbench.execution.worker._measure", stop)
        with pytest.raises(KeyboardInterrupt):
            tiny.run()
    trained = weights(tiny.folder / "out")
    assert Counter(tiny.frame()["status"]) == {"ok": 2, "interrupted": 2}
    assert tiny.run().counts == {"ok": 4}
    assert trained.items() <= weights(tiny.folder / "out").items()
    tiny.have("undisturbed")
    assert_alike(tiny.folder / "out", tiny.folder / "undisturbed", 0)


# what follows needs processes of its own

WAITING = """
import time, lvmbench
from pathlib import Path
from lvmbench import Evaluator, Measurement, Metric

class Waiting(Evaluator):
    metrics = {"figure": Metric("Figure", "nats", "higher", "a figure")}
    def evaluate(self, subject):
        Path("REACHED").touch()
        while not Path("GO").exists():
            time.sleep(0.01)
        yield Measurement("figure", 1.0)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.evaluator("waiting", Waiting)
"""
"""An evaluator that tells when it has begun, and ends when it may."""


@pytest.fixture
def halted(tiny, start):
    """A real run, with one worker, that has trained and measured one of two models and waits
    in the next measurement.
    """
    text = WAITING.replace("REACHED", str(tiny.folder / "reached")).replace("GO", str(tiny.folder / "go"))
    plugin = tiny.plugin(f"waiting_{tiny.folder.name}", text)
    what = {"seeds": [0], "evaluators": ["tightness[samples=20,repeats=5]", "waiting"]}
    tiny.write(**what)
    process = start("--jobs", "1", "--plugin", plugin)
    assert waited_for((tiny.folder / "reached").exists)
    return process, {**what, "plugins": [plugin]}


@pytest.fixture
def start(tiny):
    """Start real ``lvmbench run`` commands, each in a process group of its own,
    which ends with the test at the latest.
    """
    started = []

    def begin(*options):
        command = [sys.executable, "-m", "lvmbench", "run", "tiny.yaml", "--out", "out", *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(command, start_new_session=True, cwd=tiny.folder, **streams)
        limit = threading.Timer(200, end, [process])
        limit.start()
        started.append((process, limit))
        return process

    def end(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    yield begin
    for process, limit in started:
        limit.cancel()
        end(process)
        process.stdout.close()
        process.wait()


def living(folder):
    """The living processes of this program whose working directory is a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            ours = b"lvmbench" in (process / "cmdline").read_bytes()
            found += [process.name] if ours and (process / "cwd").readlink() == folder else []
    return found


def assert_half_done(tiny):
    """What is finished is stored: a model and its first measurement."""
    assert tiny.frame()["status"].tolist() == ["ok", "interrupted"]
    assert tiny.frame("evaluations")[["evaluator", "status"]].to_numpy().tolist() == [
        ["tightness[repeats=5,samples=20]", "ok"]
    ]
    assert set(tiny.frame("measurements")["evaluator"]) == {"tightness[repeats=5,samples=20]"}


def test_what_was_killed_is_finished_by_the_same_command(tiny, halted):
    """The worker ends with its runner.

    A finished measurement outlives both, and nothing finished is done again.
    """
    process, what = halted
    process.kill()
    process.wait()
    assert waited_for(lambda: not living(tiny.folder))
    assert_half_done(tiny)
    trained, evaluations = weights(tiny.folder / "out"), tiny.frame("evaluations")
    (tiny.folder / "go").touch()
    assert tiny.run(**what).counts == {"ok": 2}
    assert trained.items() <= weights(tiny.folder / "out").items()
    assert tiny.frame("evaluations").iloc[[0]].equals(evaluations)
    tiny.run("undisturbed", **what)
    assert_alike(tiny.folder / "out", tiny.folder / "undisturbed")


def waited_for(condition, seconds=180):
    """What a condition gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_an_interruption_waits_for_what_runs_and_begins_nothing_new(tiny, halted):
    process, _ = halted
    process.send_signal(signal.SIGINT)
    assert waited_for((tiny.folder / "out" / "records.csv").exists), "tables are written at once"
    (tiny.folder / "go").touch()
    said = process.communicate()[0]
    assert process.returncode == 130, said
    assert "interrupted: 1 job is finished first; once more stops at once" in said
    assert "interrupted; what is finished is kept: the same command goes on" in said
    assert "Traceback" not in said
    assert tiny.frame()["status"].tolist() == ["ok", "interrupted"]
    assert tiny.frame("evaluations")["status"].tolist() == ["ok", "ok"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_interruption_is_at_once_clean_and_resumable(tiny, halted, name):
    process, what = halted
    number = getattr(signal, name)
    process.send_signal(number)
    assert waited_for((tiny.folder / "out" / "records.csv").exists)
    process.send_signal(number)
    said = process.communicate()[0]
    assert process.returncode == 128 + number, said
    assert "interrupted; what is finished is kept: the same command goes on" in said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said
    assert waited_for(lambda: not living(tiny.folder))
    assert_half_done(tiny)
    (tiny.folder / "go").touch()
    assert tiny.run(**what).counts == {"ok": 2}


def test_an_evaluator_measures_the_combinations_that_it_is_for(tiny):
    clustering = {"clustering": {"starts": 1, "on": {"prior": "mixture"}}}
    tiny.run(priors=["standard_normal", "mixture[components=3]"], seeds=1, evaluators=["cost", clustering])
    found = tiny.frame("evaluations")
    assert sorted(found["evaluator"]) == ["clustering[starts=1]", "cost", "cost"]
    assert set(found["status"]) == {"ok"}
    with tiny.store() as store:
        assert missing_evaluations(store) == {}
