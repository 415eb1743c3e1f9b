"""Whatever befalls a store or a disk: a clean stop or a wait, one clear line, nothing finished is lost."""

import os
import shutil
import sqlite3
import tempfile
import threading

import pytest

import lvmbench
from lvmbench.errors import UserError
from lvmbench.execution import worker
from lvmbench.results.store import Store
from lvmbench.results.tables import read_results
from tests.databases import server

ONE = {"priors": ["standard_normal"]}


def test_a_store_that_another_process_has_locked_is_waited_for(tiny):
    tiny.have(**ONE, seeds=[0])
    other = sqlite3.connect(tiny.folder / "out" / "store.sqlite", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(1, other.rollback)
    timer.start()
    assert tiny.run(**ONE).counts == {"ok": 2}
    timer.join()
    other.close()


def test_a_full_disk_under_the_store_is_one_line_and_the_same_command_goes_on(tiny, monkeypatch):
    tiny.have(**ONE, seeds=[0])
    limits = []

    def full(connection, record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        limits.append(connection.execute(f"PRAGMA max_page_count={pages}").fetchone())

    with monkeypatch.context() as patch:
        patch.setattr("lvmbench.results.connection._use_wal", full)
        with pytest.raises(UserError, match="disk is full; make room, and the same command goes on"):
            tiny.run(**ONE, seeds=[*range(20)])
    assert limits
    before = tiny.frame("measurements")
    assert tiny.run(**ONE).counts["ok"] == 2
    assert tiny.frame("measurements").iloc[[0]].equals(before.iloc[[0]])
    tiny.have("undisturbed", **ONE)
    ours, other = (read_results(tiny.folder / out)[1] for out in ("out", "undisturbed"))
    assert ours["value"].tolist() == pytest.approx(other["value"].tolist(), rel=1e-4)


def no_room(*arguments, **options):
    raise OSError(28, "No space left on device")


def test_a_full_disk_under_the_weights_is_one_line_and_costs_no_status(tiny, monkeypatch):
    line = "weights' cannot be written to: No space left on device; what is finished is kept"
    with monkeypatch.context() as patch:
        patch.setattr("lvmbench.execution.worker.write_tensors", no_room)
        with pytest.raises(UserError, match=line):
            tiny.run(**ONE)
    assert tiny.frame()["status"].tolist() == ["interrupted"] * 2
    assert tiny.run(**ONE).counts == {"ok": 2}


def test_a_full_disk_under_the_tables_is_one_line(tiny, monkeypatch):
    tiny.have(**ONE)
    out = tiny.folder / "out"
    (out / "records.csv").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", no_room)
        with pytest.raises(UserError, match=r"records\.csv' cannot be written: No space left on device"):
            tiny.run(**ONE)
    assert not [file.name for file in out.iterdir() if file.name.startswith(".")]
    tiny.run(**ONE)
    assert (out / "records.csv").exists()


REMOVING = """
import shutil, lvmbench
from lvmbench import Evaluator, Measurement, Metric

class Removing(Evaluator):
    metrics = {"figure": Metric("Figure", "nats", "higher", "a figure")}
    def evaluate(self, subject):
        shutil.rmtree("FOLDER")
        yield Measurement("figure", 1.0)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.evaluator("removing", Removing)
"""


def test_an_output_folder_that_is_removed_ends_the_run_in_one_line(tiny):
    plugin = tiny.plugin("removing", REMOVING.replace("FOLDER", str(tiny.folder / "out")))
    with pytest.raises(UserError, match=r"store\.sqlite was removed while it was in use|cannot be written"):
        tiny.run(**ONE, plugins=[plugin], evaluators=["removing"])


def test_results_in_a_folder_that_cannot_be_written_to_are_read(tiny, cli, monkeypatch):
    tiny.have(**ONE)
    out, access = tiny.folder / "out", os.access
    records = lvmbench.load(out).records
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}

    def readable(path, mode):
        return mode != os.W_OK and access(path, mode)

    monkeypatch.setattr(os, "access", readable)
    if os.geteuid():
        out.chmod(0o500)
    try:
        assert lvmbench.load(out).records.equals(records)
        assert cli("status", out).code == 0
        assert cli("leaderboard", out).code == 0
    finally:
        out.chmod(0o700)
    assert {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()} == before


EDITS = {
    "UPDATE runs SET status = 'fine'": "there is no status 'fine'",
    "UPDATE runs SET provenance = '{'": "was changed by hand or is damaged",
    "UPDATE meta SET value = '[' WHERE key = 'plugins'": "its plugins are no JSON",
    "UPDATE meta SET value = '[' WHERE key = 'combinations'": "its combinations are no JSON",
    "DROP TABLE measurements": "no such table: measurements",
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_store_that_was_edited_by_hand_is_one_line(tiny, cli, edit):
    tiny.have(**ONE, seeds=[0])
    with tiny.store() as store, store._engine.begin() as connection:
        connection.exec_driver_sql(edit)
    shown = [cli(command, tiny.folder / "out") for command in ("status", "leaderboard", "retry")]
    assert any(EDITS[edit] in s.err for s in shown), shown
    assert all("Traceback" not in s.err and s.err.count("\n") <= 1 for s in shown)


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_store_that_was_cut_off_is_one_line(tiny, cli, kept):
    tiny.have(**ONE, seeds=[0])
    file = tiny.folder / "out" / "store.sqlite"
    for left in (tiny.folder / "out").glob("store.sqlite-*"):
        left.unlink()
    file.write_bytes(file.read_bytes()[:kept])
    shown = cli("status", tiny.folder / "out")
    assert "Traceback" not in shown.err
    assert shown.err.count("\n") <= 1


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pg_ctl"), reason="no PostgreSQL: put initdb and pg_ctl on the path")
def test_a_run_waits_for_its_database_to_come_back(tiny, monkeypatch):
    """The server goes when the first model is trained, and comes back once somebody waits for it."""
    folder = tempfile.mkdtemp(prefix="lvmbench-pg-", dir="/tmp")  # short, for the name of the socket
    url, stop = server(folder)
    kept, gone, said = worker.keep, [], []

    def keep_and_stop(*arguments):
        checksum = kept(*arguments)
        if not gone:
            gone.append(stop())
        return checksum

    monkeypatch.setattr("lvmbench.execution.worker.keep", keep_and_stop)
    monkeypatch.setattr(tiny.reporter, "say", lambda text: said.append((text, server(folder, anew=False))))
    monkeypatch.setattr(tiny, "store", lambda out="out": Store(url))
    try:
        assert tiny.run(**ONE).counts == {"ok": 2}
        ((text, _),) = said
        assert text.endswith("start its server or check the URL; waiting for it")
    finally:
        stop()
        shutil.rmtree(folder)
