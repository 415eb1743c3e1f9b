"""Trackers: what they are told, that none of them can harm a run, and TensorBoard and MLflow themselves."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial

import pandas as pd
import pytest

import lvmbench
from lvmbench.execution import tracking
from lvmbench.execution.progress import NowAndThen, Progress

PLUGIN = '''
import json, os, time

import lvmbench
from lvmbench import Tracker


class Diary(Tracker):
    """Writes down what it is told, and at some event does something bad."""

    def __init__(self, *, path: str, at: str | None = None, bad: str | None = None):
        self.path, self.at, self.bad = path, at, bad
        for hook in ("suite_started", "job_started", "epoch_ended", "training_ended", "evaluation_ended",
                     "suite_ended"):
            setattr(self, hook, self.note)
        if at == "init":
            exec(bad)

    def note(self, event):
        if event.hook == self.at:
            exec(self.bad)
        with open(self.path, "a") as file:
            file.write(json.dumps([event.hook, event], default=vars) + "\\n")


class Absent(Tracker):
    """Needs what is not there."""

    def __init__(self):
        raise lvmbench.Unavailable("the package absent is missing: pip install absent")


@lvmbench.hookimpl
def lvmbench_register(register):
    register.tracker("diary", Diary)
    register.tracker("absent", Absent)
'''
SEEDS, EPOCHS = (0, 1), 3


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugins") / "diaries.py"
    path.write_text(PLUGIN)
    return str(path)


@pytest.fixture
def tracked(tiny, suite, plugin, capsys):
    """Run a suite of one combination with a diary; what the diary holds, and what was printed."""

    def call(jobs=0, progress=True, **options):
        path = tiny.folder / "diary.jsonl"
        given = ",".join(f"{name}={json.dumps(value)}" for name, value in options.items())
        tracker = f'diary[path="{path}"{"," * bool(given)}{given}]'
        one = {**suite, "priors": ["standard_normal"]}
        results = lvmbench.run(
            one, tiny.folder / "out", jobs=jobs, plugins=[plugin], trackers=[tracker], progress=progress
        )
        assert list(results.records["status"]) == ["ok"] * len(SEEDS)
        told = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return results, told, capsys.readouterr().out

    return call


@pytest.mark.parametrize("jobs", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_everything_is_told_once_and_in_order(tracked, jobs):
    results, told, _ = tracked(jobs)
    hooks = [hook for hook, _ in told]
    counts = {"epoch_ended": len(SEEDS) * EPOCHS, "training_ended": 2, "evaluation_ended": 2}
    assert Counter(hooks) == {"suite_started": 1, "job_started": 1, **counts, "suite_ended": 1}
    assert hooks[:2] == ["suite_started", "job_started"]
    assert hooks[-1] == "suite_ended"
    assert told[0][1] == {"suite": "tiny", "version": 1, "directory": str(results.directory.resolve())}
    assert told[-1][1] == {"counts": {"ok": 2}}
    runs = {run["key"]: run for run in told[1][1]["runs"]}
    assert {run["seed"] for run in runs.values()} == set(SEEDS)
    assert all(run["columns"]["prior"] == "standard_normal" for run in runs.values())
    for key in runs:
        own = [(hook, event) for hook, event in told if event.get("run", {}).get("key") == key]
        assert [hook for hook, _ in own] == [*["epoch_ended"] * EPOCHS, "training_ended", "evaluation_ended"]
        curve = results.curves.query("key == @key")
        found = [(e["epoch"], e["train_bound"], e["validation_bound"]) for _, e in own[:EPOCHS]]
        assert found == [tuple(row) for row in curve.drop(columns="key").itertuples(index=False)]
        measured = results.measurements.query("key == @key and metric != 'parameters'")["value"]
        assert {row["value"] for row in own[-1][1]["measurements"]} <= set(measured)


def test_a_finished_suite_tells_of_nothing_but_that(tracked):
    tracked()
    _, told, _ = tracked()
    assert [hook for hook, _ in told[-2:]] == ["suite_started", "suite_ended"]
    assert Counter(hook for hook, _ in told)["job_started"] == 1


BAD = {
    "raises": ("epoch_ended", "raise ValueError('no')", "ValueError: no"),
    "raises no exception": ("suite_ended", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    "ends its process": ("evaluation_ended", "os._exit(0)", "ended by itself (exit code 0)"),
    "hangs": ("training_ended", "time.sleep(100)", "it took longer than 3 s"),
}


@pytest.mark.parametrize(("at", "bad", "reason"), BAD.values(), ids=BAD)
def test_one_that_fails_is_reported_once_and_costs_nothing(tracked, monkeypatch, at, bad, reason):
    if at == "training_ended":
        monkeypatch.setattr(tracking, "PATIENCE", 3.0)
    results, told, printed = tracked(at=at, bad=bad)
    assert printed.count("is switched off") == 1
    assert reason in printed
    assert at not in {hook for hook, _ in told}
    assert len(results.measurements) > 0


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "absent": "--tracker absent: the package absent is missing: pip install absent",
        "tensorbord": "--tracker: unknown tracker 'tensorbord'; did you mean 'tensorboard'?",
        "diary": "--tracker: tracker 'diary' needs option 'path'",
        "diary[path=x,at=init,bad=1/0]": "ZeroDivisionError: division by zero",
    }.items(),
)
def test_one_that_cannot_begin_is_an_error_before_anything_is_done(tiny, cli, plugin, name, message):
    shown = cli("run", tiny.write(), "--out", tiny.folder / "out", "--plugin", plugin, "--tracker", name)
    assert shown.code == 2
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not (tiny.folder / "out").exists()


def test_epochs_that_are_passed_over_are_told_later(monkeypatch):
    heard, now = [], [0.0]
    monkeypatch.setattr("lvmbench.execution.progress.time.monotonic", lambda: now[0])
    tell = NowAndThen(heard.append)
    for epoch, at in enumerate([0.0, 0.05, 0.1, 0.3, 0.31], 1):
        now[0] = at
        tell(Progress("train", epoch, 5, None, ((epoch, {0: (1.0, 2.0)}),)))
    assert [[epoch for epoch, _ in news.epochs] for news in heard] == [[1], [2, 3, 4], [5]]


# --- the real ones ------------------------------------------------------------------------------------------


def followed(tiny, suite, tracker):
    out = tiny.folder / "out"
    one = {**suite, "priors": ["standard_normal"]}
    return lvmbench.run(one, out, jobs=0, trackers=[tracker], progress=False)


def values(results, key, **named):
    """The figures of a run, by their names in trackers."""
    rows = results.measurements.query("key == @key and metric in ['elbo', 'bound', 'gap']")
    assert len(rows) == 3
    names = rows[["split", "metric", "method"]].astype(object).fillna("").itertuples(index=False)
    return {"/".join(filter(None, name)): value for name, value in zip(names, rows["value"], strict=True)}


def test_tensorboard_shows_curves_and_figures(tiny, suite):
    pytest.importorskip("tensorboard", reason="the extra `tensorboard`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    results = followed(tiny, suite, "tensorboard")
    folders = sorted((results.directory / "tensorboard").iterdir())
    assert len(folders) == len(SEEDS)
    for _, record in results.records.iterrows():
        (folder,) = [f for f in folders if f.name.endswith(f"seed {record['seed']} {record['key'][:8]}")]
        events = EventAccumulator(str(folder)).Reload()
        curve = results.curves.query("key == @record.key")
        shown = events.Scalars("bound/validation")
        assert [e.step for e in shown] == list(curve["epoch"])
        assert [e.value for e in shown] == pytest.approx(list(curve["validation_bound"]))
        for name, value in values(results, record["key"]).items():
            assert [e.value for e in events.Scalars(name)] == pytest.approx([value])


def test_mlflow_keeps_settings_curves_and_figures(tiny, suite):
    pytest.importorskip("mlflow", reason="the extra `mlflow`")
    results = followed(tiny, suite, "mlflow[experiment=mine]")
    # read as it is stored: MLflow's own client would take longer to import than all else takes
    with closing(sqlite3.connect(results.directory / "mlflow.db")) as database:
        read = partial(pd.read_sql, con=database)
        runs = read(
            "select runs.* from runs join experiments using (experiment_id) where experiments.name = 'mine'"
        )
        tags, params, metrics = map(read, map("select * from {}".format, ("tags", "params", "metrics")))
    assert list(runs["status"]) == ["FINISHED"] * len(SEEDS)
    for _, record in results.records.iterrows():
        (run,) = tags[(tags["key"] == "lvmbench.key") & (tags["value"] == record["key"])]["run_uuid"]
        settings = params[params["run_uuid"] == run].set_index("key")["value"]
        assert (settings["posterior"], settings["seed"]) == (record["posterior"], str(record["seed"]))
        own = metrics[metrics["run_uuid"] == run].sort_values("step").groupby("key")
        curve = results.curves.query("key == @record.key")
        assert list(own.get_group("validation_bound")["step"]) == list(curve["epoch"])
        assert list(own.get_group("validation_bound")["value"]) == list(curve["validation_bound"])
        for name, value in values(results, record["key"]).items():
            assert list(own.get_group(name)["value"]) == [value]
