"""The store: round trips, what it refuses, broken files, and several writers, on SQLite and on PostgreSQL."""

import itertools
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from lvmbench.combinations.budget import Budget
from lvmbench.errors import LvmbenchError, UserError
from lvmbench.results.database import MEASUREMENTS, RUNS, SCHEMA_VERSION
from lvmbench.results.long import SORTED
from lvmbench.results.store import Store

PARTS = {
    "dataset": "digits",
    "prior": "mixture[components=5]",
    "posterior": "gaussian",
    "decoder": "bernoulli",
    "objective": "elbo",
    "estimator": "pathwise",
}


SETTINGS = {"latent": 2, **Budget().model_dump()}


def planned(key, seed=0, **changes):
    """A planned run, as the runner enters it."""
    start = {"status": "interrupted", "reason": "not finished yet", "provenance": {"prior": {"version": "1"}}}
    named = {"position": 0, "suite": "tiny", "suite_version": 1, "parameters": None, **SETTINGS}
    return {"key": key, "seed": seed, **named, **PARTS, **start, **changes}


def evaluation(key, evaluator="tightness", **changes):
    return {"key": key, "evaluator": evaluator, "status": "ok", "reason": "", "traceback": None, **changes}


def figure(key, value, evaluator="tightness", **changes):
    words = {
        "split": "test",
        "metric": "elbo",
        "variant": "",
        "method": "",
        "unit": "nats",
        "better": "higher",
    }
    return {"key": key, "evaluator": evaluator, "value": value, "stderr": 0.5, **words, **changes}


def test_a_run_comes_back_as_it_was_written(store):
    store.add_runs([planned("b", 1, position=1), planned("a", 0)])
    facts = {
        "status": "ok",
        "reason": "",
        "trained_epochs": 7,
        "train_seconds": 0.1 + 0.2,
        "parameters": 5_000_000_000,
    }
    store.finish("a", [(1, -3.5, -4.0), (2, -3.0, 1 / 3)], **facts)
    records = store.records(details=True)
    assert records["key"].tolist() == ["a", "b"]
    first, second = (row for _, row in records.iterrows())
    assert {name: first[name] for name in (*PARTS, *facts)} == {**PARTS, **facts}
    assert first["provenance"] == {"prior": {"version": "1"}}
    assert (second["status"], second["reason"]) == ("interrupted", "not finished yet")
    assert math.isnan(second["trained_epochs"])
    assert store.curves().to_numpy().tolist() == [["a", 1, -3.5, -4.0], ["a", 2, -3.0, 1 / 3]]
    assert store.statuses() == {"a": "ok", "b": "interrupted"}
    assert store.endings(["b"]) == [("interrupted", "not finished yet")]


def test_large_seeds_fit(store):
    store.add_runs([planned("a", 2**62)])
    assert store.records()["seed"].tolist() == [2**62]


def test_measurements_carry_the_name_of_their_run(store):
    store.add_runs([planned("a", 3)])
    store.add_evaluation(
        evaluation("a"), [figure("a", -1 / 3), figure("a", 1e-300, variant="é/β", stderr=None)]
    )
    plain, varied = (row for _, row in store.measurements().iterrows())
    assert {**PARTS, "seed": 3}.items() <= plain.to_dict().items()
    assert (plain["value"], plain["stderr"]) == (-1 / 3, 0.5)
    assert (varied["variant"], varied["value"]) == ("é/β", 1e-300)
    assert math.isnan(varied["stderr"])
    assert store.evaluations()[["evaluator", "status"]].to_numpy().tolist() == [["tightness", "ok"]]


def test_measurements_are_those_of_runs_in_the_order_of_the_plan_and_of_their_names(store):
    """As one query of the database would join and sort them."""
    places = random.Random(0).sample(range(6), 6)
    store.add_runs([planned(f"k{i}", seed=i % 2, position=places[i] // 2, latent=i + 1) for i in range(6)])
    names = itertools.product(("b", "a"), ("test", "train"), ("nmi", "elbo"), ("", "z"), ("x", ""))
    words = [dict(zip(("evaluator", *SORTED[1:]), name, strict=True)) for name in names]
    for i, evaluator in itertools.product((3, 0, 5), "ab"):
        own = [word for word in words if word["evaluator"] == evaluator]
        rows = [
            figure(f"k{i}", 0.1 * i + n, stderr=None if n % 3 else 0.5) | word for n, word in enumerate(own)
        ]
        store.add_evaluation(evaluation(f"k{i}", evaluator), rows)
    figures = sa.select(RUNS.c.seed, MEASUREMENTS).join(RUNS, RUNS.c.key == MEASUREMENTS.c.key)
    with store.reading() as connection:
        rows = connection.execute(figures.add_columns(RUNS.c.position)).mappings().all()
    rows = sorted(rows, key=lambda row: [row[name] for name in ("position", "seed", *SORTED)])
    found = store.measurements()
    assert len(found) == 3 * len(words)
    columns = ["key", "seed", *SORTED, "value", "unit", "better"]
    assert found[columns].to_dict("list") == {name: [row[name] for row in rows] for name in columns}
    assert found["stderr"].astype(object).where(found["stderr"].notna(), None).tolist() == [
        row["stderr"] for row in rows
    ]
    assert (found["prior"] == PARTS["prior"]).all()


def test_a_store_without_measurements_has_their_columns(store):
    store.add_runs([planned("a")])
    names = ["key", *PARTS, "seed", *SORTED, "value", "stderr", "unit", "better"]
    assert list(store.measurements()) == names
    assert store.measurements().empty


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["value", "stderr"])
def test_only_finite_figures_are_stored(store, field, bad):
    store.add_runs([planned("a")])
    with pytest.raises(LvmbenchError, match=f"must be finite.*elbo.*{field}"):
        store.add_evaluation(evaluation("a"), [{**figure("a", 1.0), field: bad}])
    assert store.evaluated() == {}


def test_an_evaluation_takes_the_place_of_the_one_before(store):
    store.add_runs([planned("a")])
    store.add_evaluation(evaluation("a", "other"), [figure("a", 9.0, "other")])
    store.add_evaluation(evaluation("a"), [figure("a", 1.0), figure("a", 2.0, metric="gap")])
    store.add_evaluation(evaluation("a", status="failed", reason="why"), [])
    assert store.measurements()["value"].tolist() == [9.0]
    assert store.evaluations()["reason"].tolist() == ["", "why"]
    assert store.evaluated() == {"a": {"tightness": ("failed", "why"), "other": ("ok", "")}}


def trained(store, key="a", **changes):
    store.add_runs([planned(key, **changes)])
    store.finish(key, [(1, -3.0, -4.0)], status="ok", reason="")
    store.add_evaluation(evaluation(key), [figure(key, 1.0)])


def test_planning_again_keeps_what_is_there_but_its_place(store):
    trained(store)
    store.add_runs([planned("b", 1), planned("a", position=5, reason="new")])
    assert store.records()[["key", "status", "reason"]].to_numpy().tolist() == [
        ["b", "interrupted", "not finished yet"],
        ["a", "ok", ""],
    ]
    assert len(store.measurements()) == 1


@pytest.mark.parametrize("status", ["unavailable", "refused", "failed", "interrupted"])
def test_a_run_that_gave_nothing_yields_to_another_definition_of_it(store, status):
    store.add_runs([planned("a", status=status)])
    store.add_runs([planned("b")])
    assert store.statuses() == {"b": "interrupted"}


def test_a_result_never_mixes_with_another_definition_of_it(store):
    trained(store)
    with pytest.raises(UserError, match=r"seed 0 of .*digits.* was trained .* give another --out"):
        store.add_runs([planned("c", 1), planned("b")])
    assert store.statuses() == {"a": "ok"}


def test_a_result_outlives_the_loss_of_a_component(store):
    trained(store)
    store.add_runs([planned("b", status="unavailable"), planned("c", 1, status="unavailable")])
    assert store.statuses() == {"a": "ok", "c": "unavailable"}


def test_finishing_and_reopening_forget_what_was_measured_but_not_by_what(store):
    due = {"a": {"tightness": ("interrupted", "waiting to be measured again")}}
    trained(store)
    store.finish("a", status="failed", reason="why", traceback="where")
    assert [len(f()) for f in (store.curves, store.measurements)] == [0, 0]
    assert store.evaluated() == due
    assert store.traceback("a") == "where"
    trained(store)
    store.reopen(["a"])
    assert [len(f()) for f in (store.curves, store.measurements)] == [0, 0]
    assert store.evaluated() == due
    assert store.endings(["a"]) == [("interrupted", "waiting to be retried")]
    assert store.traceback("a") is None


def test_evaluations_are_reopened_by_their_status(store):
    trained(store)
    store.add_evaluation(evaluation("a", "b", status="failed"), [])
    store.add_evaluation(evaluation("a", "c", status="oom"), [])
    assert store.reopen_evaluations(["failed", "timeout"]) == 1
    endings = {name: status for name, (status, _) in store.evaluated()["a"].items()}
    assert endings == {"tightness": "ok", "b": "interrupted", "c": "oom"}


def test_facts_and_environments_are_kept_once(store):
    store.note(metric="elbo")
    store.note(metric="gap", plugins="[]")
    assert {"metric": "gap", "plugins": "[]", "schema": SCHEMA_VERSION}.items() <= store.meta().items()
    for _ in range(2):
        store.environment("abc", {"python": "3"})


def test_another_suite_is_refused(store):
    store.claim("tiny", 1)
    store.claim("tiny", 1)
    for name, version in (("other", 1), ("tiny", 2)):
        with pytest.raises(UserError, match=f"holds suite 'tiny' version 1, not '{name}' version {version}"):
            store.claim(name, version)


def test_another_schema_is_refused(url):
    store = Store(url)
    store.note(schema="0")
    store.close()
    with pytest.raises(UserError, match=f"has schema 0, this lvmbench writes {SCHEMA_VERSION}; use"):
        Store(url)


WRITER = """
import sys
from lvmbench.results.store import Store
from tests_rows import planned, evaluation, figure
url, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
store = Store(url)
store.claim("tiny", 1)
store.environment("abc", {})
store.add_runs([planned(str(i), i) for i in range(30)])
for i in range(30):
    store.finish(str(i), [(1, -3.0, -4.0)], status="ok", reason=name)
    store.add_evaluation(evaluation(str(i)), [figure(str(i), 1.0)])
store.close()
"""


def test_two_processes_may_write_at_once(url, tmp_path):
    shutil.copy(__file__, tmp_path / "tests_rows.py")
    command = [sys.executable, "-W", "error", "-c", WRITER, url]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    there = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": paths}}
    writers = [subprocess.Popen([*command, name], **streams, **there) for name in "xy"]
    assert [w.stdout.readline() for w in writers] == ["ready\n"] * 2
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    errors = [w.communicate(timeout=120)[1] for w in writers]
    assert [w.returncode for w in writers] == [0, 0], errors
    store = Store(url)
    assert set(store.statuses().values()) == {"ok"}
    assert [len(f()) for f in (store.records, store.curves, store.measurements)] == [30, 30, 30]
    store.close()


def test_sqlite_writes_ahead(tmp_path):
    Store.at(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "store.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("name", ["plain", "with space", "50%", "a?b=c", "a#b", "ä"])
def test_any_folder_can_hold_the_store(tmp_path, name):
    (tmp_path / name).mkdir()
    Store.at(tmp_path / name).close()
    assert (tmp_path / name / "store.sqlite").is_file()


def garbage(path):
    path.write_bytes(b"this is no database, whatever it is called\n" * 200)


def truncated(path):
    Store(f"sqlite:///{path}").close()
    path.write_bytes(path.read_bytes()[:-5000])


def overwritten(path):
    Store(f"sqlite:///{path}").close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\x55" * (len(content) - 100))


def foreign(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (something INTEGER)")
    connection.close()


def folder(path):
    path.mkdir()


@pytest.mark.parametrize("spoil", [garbage, truncated, overwritten, foreign, folder])
def test_a_broken_file_is_one_line(tmp_path, spoil):
    path = tmp_path / "store.sqlite"
    spoil(path)
    with pytest.raises(UserError) as found, Store.at(tmp_path) as store:
        store.records()
    assert f"{path} cannot be used" in str(found.value)
    assert "\n" not in str(found.value)


def test_damage_found_later_is_one_line(tmp_path):
    store = Store.at(tmp_path)
    store.add_runs([planned(str(i), i, reason="x" * 500) for i in range(200)])
    store.close()
    path = tmp_path / "store.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:40_000] + b"\x55" * (len(content) - 40_000))
    with pytest.raises(UserError, match="cannot be used: .*malformed"), Store.at(tmp_path) as store:
        store.records()


URLS = {
    "sqlite:////no/such/folder/store.sqlite": "unable to open",
    "sqlite:////proc/store.sqlite": "unable to open",
    "no url at all": "parse",
    "nosuchdatabase://here/there": "nosuchdatabase",
    "postgresql://me:secret@localhost:1/none": "",
}


@pytest.mark.parametrize(("url", "cause"), URLS.items(), ids=[u.partition(":")[0] for u in URLS])
def test_a_url_that_cannot_be_used_is_one_line_without_its_password(url, cause):
    with pytest.raises(UserError) as found:
        Store(url)
    assert cause in str(found.value)
    assert "cannot be used" in str(found.value)
    assert "secret" not in str(found.value)
    assert "\n" not in str(found.value)


def test_the_columns_of_records_hold_no_surprise():
    """What other tools read from records.csv; adding is fine, losing is not."""
    required = {
        *PARTS,
        "seed",
        "status",
        "reason",
        "key",
        "latent",
        "epochs",
        "trained_epochs",
        "best_epoch",
        "train_seconds",
    }
    assert required <= set(RUNS.c.keys())
    assert Path(RUNS.name).name == "runs"


def test_every_setting_has_a_column_of_its_type():
    for name, value in {"latent": 2, **Budget(clip=1.0, seconds=1.0, weight_decay=0.1).model_dump()}.items():
        assert RUNS.c[name].type.python_type is type(value)
        assert RUNS.c[name].nullable == (SETTINGS[name] is None)
