"""Leases: who has which run in hand, told apart in place and time."""

import json
import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from lvmbench.combinations.combination import COLUMNS
from lvmbench.results import leases
from lvmbench.results.connection import Database
from lvmbench.results.database import LEASES
from lvmbench.results.leases import Leases
from lvmbench.results.store import Store
from lvmbench.results.tables import stored_tables
from tests.results.test_store import evaluation, figure, planned


def test_each_run_is_in_the_hands_of_one(store):
    with Leases(store) as one, Leases(store) as other:
        assert one.take(["a", "b"]) == {"a", "b"}
        assert other.take(["b", "c"]) == {"c"}
        assert one.take(["a", "c"]) == {"a"}
        one.give_back(["a"])
        assert other.take(["a", "b"]) == {"a"}
    with Leases(store) as third:
        assert third.take(["a", "b", "c"]) == {"a", "b", "c"}, "all is let go of at the end"


def test_a_lease_without_a_sign_of_life_is_taken_over(store, monkeypatch):
    elsewhere = Leases(store)
    elsewhere.owner = "another machine/1/2/3"
    elsewhere.take(["a", "b"])
    with store.writing() as connection:
        connection.execute(sa.update(LEASES).where(LEASES.c.key == "a").values(expires=1.0))
    with Leases(store) as here:
        assert here.take(["a", "b"]) == {"a"}
        elsewhere.renew()
        assert here.take(["b"]) == set()


def test_what_a_dead_process_of_this_place_had_in_hand_is_taken_over_at_once(store):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    start = leases._start(dead.pid)
    dead.wait()
    for number, process in enumerate([dead.pid, os.getpid()]):  # of the second the number was given again
        gone = Leases(store)
        gone.owner = f"{leases._place()}/{process}/{start}/{number}"
        gone.take([str(number)])
    with Leases(store) as here:
        assert here.take(["0", "1"]) == {"0", "1"}


def test_signs_of_life_are_given_in_the_background(store, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.01)
    with Leases(store) as held:
        held.take(["a"])
        with store.writing() as connection:
            connection.execute(sa.update(LEASES).values(expires=1.0))
        for _ in range(1000):
            with store.reading() as connection:
                if (expires := connection.scalar(sa.select(LEASES.c.expires))) > 1.0:
                    break
            held._over.wait(0.01)
        assert expires > 1.0


def test_who_has_lost_a_run_changes_nothing_of_it(store):
    """A process that slept past its lease does not delete what another has found meanwhile."""
    store.add_runs([planned("a")])
    slow, fast = Leases(store), Leases(store)
    slow.take(["a"])
    with store.writing() as connection:
        connection.execute(sa.update(LEASES).values(expires=1.0))
    assert fast.take(["a"]) == {"a"}
    assert store.finish("a", [(1, -1.0, -1.0)], fast.owner, status="ok", reason="")
    assert store.add_evaluation(evaluation("a"), [figure("a", 1.0)], fast.owner)
    before = store.measurements(), store.evaluations(), store.records()
    assert not store.finish("a", [(1, -9.0, -9.0)], slow.owner, status="failed", reason="late")
    assert not store.add_evaluation(evaluation("a"), [figure("a", 9.0)], slow.owner)
    for was, now in zip(before, (store.measurements(), store.evaluations(), store.records()), strict=True):
        assert was.equals(now)


def test_a_store_of_an_older_schema_is_brought_up_to_this_one(url):
    with Database(url) as opened, opened.writing() as connection:
        for table in ("runs", "evaluations"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN log")
        connection.exec_driver_sql("ALTER TABLE runs DROP COLUMN precision")
        connection.exec_driver_sql("ALTER TABLE runs DROP COLUMN weights_sha256")
        connection.exec_driver_sql("ALTER TABLE evaluations DROP COLUMN per_datum_sha256")
        connection.exec_driver_sql("DROP TABLE leases")
        connection.exec_driver_sql("UPDATE meta SET value = '4' WHERE key = 'schema'")
    with Store(url) as opened:
        opened.add_runs([planned("a")])
        opened.finish("a", status="failed", reason="", log="the end")
        records = opened.records(details=True)
        assert (records["log"].tolist(), records["precision"].tolist()) == (["the end"], ["highest"])
        assert opened.checksums() == {}
        before = [planned("a")[name] for name in COLUMNS if name != "precision"]
        opened.note(combinations=json.dumps([before]))
        assert stored_tables(opened)[0]["asked_by"].tolist() == ["suite"]
        assert Leases(opened).take(["a"]) == {"a"}


@pytest.mark.parametrize("owner", ["another machine/1/2/3"])
def test_owners_of_other_places_are_not_taken_for_dead(owner):
    assert not leases._dead(owner)
