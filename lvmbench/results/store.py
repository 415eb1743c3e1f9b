"""The store: every planned run, what became of it and what was measured,
in SQLite or any database of SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.results.connection import Database
from lvmbench.results.database import (
    CURVES,
    DETAILS,
    ENVIRONMENTS,
    EVALUATIONS,
    MEASUREMENTS,
    META,
    NAME,
    RECORD_COLUMNS,
    RUNS,
    expect_finite,
)
from lvmbench.results.leases import holds
from lvmbench.results.long import DESCRIBED, long_table
from lvmbench.results.tables import plain_text
from lvmbench.status import Status

AT_ONCE = 10_000
"""So many figures are taken from a database at a time."""


class Store(Database):
    """One results database; each method is one transaction."""

    @classmethod
    def at(cls, directory: Path, url: str | None = None) -> Store:
        """The store of a results directory: ``store.sqlite`` unless a URL is given."""
        file = directory.resolve() / "store.sqlite"
        if url is None and file.is_symlink():
            raise UserError(
                f"the store '{file}' is a symbolic link, and to read a store may change it: put the file in "
                "its place, or give --store"
            )
        return cls(url or sa.URL.create("sqlite", database=str(file)))

    def claim(self, suite: str, version: int) -> None:
        """Bind the store to a suite; raises `UserError` where it holds another one."""
        meta = self.meta()
        held = (meta.get("suite", suite), meta.get("version", str(version)))
        if held != (suite, str(version)):
            raise UserError(
                f"the store {self.url} holds suite '{held[0]}' version {held[1]}, not '{suite}' "
                f"version {version}; give another --out"
            )
        self.note(suite=suite, version=str(version))

    def note(self, **facts: str) -> None:
        """Write facts about the store."""
        with self.writing() as connection:
            connection.execute(sa.delete(META).where(META.c.key.in_(facts)))
            connection.execute(sa.insert(META), [{"key": k, "value": v} for k, v in facts.items()])

    def environment(self, identifier: str, content: Mapping[str, Any]) -> None:
        """Keep a description of the machine and its software, once."""
        with self.writing() as connection:
            if not connection.execute(sa.select(ENVIRONMENTS).where(ENVIRONMENTS.c.id == identifier)).first():
                connection.execute(sa.insert(ENVIRONMENTS), [{"id": identifier, "content": dict(content)}])

    def environments(self) -> dict[str, Any]:
        """The descriptions of the machines that runs were made on, by their identifiers."""
        with self.reading() as connection:
            rows = connection.execute(sa.select(ENVIRONMENTS.c.id, ENVIRONMENTS.c.content))
            return dict(sorted((identifier, content) for identifier, content in rows))

    def add_runs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add planned runs; the ones that are there stay as they are, except for their place in the plan.

        There is one row for each combination and seed. One made by another definition of them (other
        data, another version of a component) gives way where it has no result, and else raises `UserError`; a
        run that is unavailable now leaves what is there.
        """
        with self.writing() as connection:
            there = self._named(connection)
            for row in rows:
                old = there.get(tuple(row[name] for name in NAME))
                if old is None or _gives_way(old, row):
                    self._drop(connection, old)
                    connection.execute(sa.insert(RUNS), [dict(row)])
                elif old.key == row["key"]:
                    place = sa.update(RUNS).where(RUNS.c.key == old.key).values(position=row["position"])
                    connection.execute(place)

    @staticmethod
    def _named(connection: sa.Connection) -> dict[tuple[Any, ...], sa.Row[Any]]:
        """Key and status of each run, by what it is called."""
        runs = connection.execute(sa.select(RUNS.c.key, RUNS.c.status, *(RUNS.c[name] for name in NAME)))
        return {tuple(run[2:]): run for run in runs}

    def _drop(self, connection: sa.Connection, old: sa.Row[Any] | None) -> None:
        if old is not None:
            self._forget(connection, old.key)
            connection.execute(sa.delete(RUNS).where(RUNS.c.key == old.key))

    def runs(self) -> dict[tuple[Any, ...], sa.Row[Any]]:
        """``key`` and ``status`` of each run, by what it is called: its components, latent size and seed."""
        with self.reading() as connection:
            return self._named(connection)

    def statuses(self, keys: Collection[str] | None = None) -> dict[str, str]:
        """The status of every run, or of these, by key."""
        query = sa.select(RUNS.c.key, RUNS.c.status).where(_among(RUNS, keys))
        with self.reading() as connection:
            return dict(iter(connection.execute(query)))

    def checksums(self, keys: Collection[str] | None = None) -> dict[str, str | None]:
        """The sha256 of the weights of every run that is ok, or of these, by key, where it is known."""
        ok = sa.and_(_among(RUNS, keys), RUNS.c.status == Status.OK)
        with self.reading() as connection:
            return dict(iter(connection.execute(sa.select(RUNS.c.key, RUNS.c.weights_sha256).where(ok))))

    def facts(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """What is on record of these runs, by key; nothing for what is not known."""
        query = sa.select(*(RUNS.c[name] for name in RECORD_COLUMNS)).where(_among(RUNS, keys))
        with self.reading() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return {row["key"]: {k: v for k, v in row.items() if v is not None} for row in rows}

    def endings(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """Status and reason of these runs."""
        with self.reading() as connection:
            rows = connection.execute(
                sa.select(RUNS.c.status, RUNS.c.reason).where(RUNS.c.key.in_(list(keys)))
            )
            return [(status, reason) for status, reason in rows]

    def finish(
        self, key: str, curve: Iterable[tuple[int, float, float]] = (), owner: str = "", **values: Any
    ) -> bool:
        """Write how the training of a run ended; nothing where an owner is named who has it no more in hand.

        Says whether it was written.
        """
        rows = [
            dict(zip(("key", "epoch", "train_bound", "validation_bound"), (key, *p), strict=True))
            for p in curve
        ]
        with self.writing() as connection:
            if owner and not holds(connection, key, owner):
                return False
            self._outdate(connection, key)
            connection.execute(sa.update(RUNS).where(RUNS.c.key == key).values(**values))
            if rows:
                connection.execute(sa.insert(CURVES), rows)
        return True

    def reopen(self, keys: Iterable[str]) -> None:
        """Make runs due again, without what they left behind but for what is to measure them."""
        with self.writing() as connection:
            for key in keys:
                self._outdate(connection, key)
                values = {"status": Status.INTERRUPTED, "reason": "waiting to be retried"}
                again = sa.update(RUNS).where(RUNS.c.key == key)
                connection.execute(again.values(**values, traceback=None, log=None))

    def reopen_evaluations(self, statuses: Iterable[str]) -> int:
        """Make evaluations that ended with these statuses due again; how many."""
        with self.writing() as connection:
            return connection.execute(_due_again(EVALUATIONS.c.status.in_(list(statuses)))).rowcount

    @staticmethod
    def _outdate(connection: sa.Connection, key: str) -> None:
        """Delete what was found of the weights that a run had.

        Whoever measured them is to measure the next ones.
        """
        for table in (CURVES, MEASUREMENTS):
            connection.execute(sa.delete(table).where(table.c.key == key))
        connection.execute(_due_again(EVALUATIONS.c.key == key))

    @staticmethod
    def _forget(connection: sa.Connection, key: str) -> None:
        for table in (CURVES, MEASUREMENTS, EVALUATIONS):
            connection.execute(sa.delete(table).where(table.c.key == key))

    def add_evaluation(
        self, evaluation: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]], owner: str = ""
    ) -> bool:
        """Write what an evaluator gave for a run, in place of what it gave before; as `finish` does."""
        for m in measurements:
            expect_finite(m)
        key, evaluator = evaluation["key"], evaluation["evaluator"]
        with self.writing() as connection:
            if owner and not holds(connection, key, owner):
                return False
            for table in (EVALUATIONS, MEASUREMENTS):
                connection.execute(sa.delete(table).where(table.c.key == key, table.c.evaluator == evaluator))
            connection.execute(sa.insert(EVALUATIONS), [dict(evaluation)])
            if measurements:
                connection.execute(sa.insert(MEASUREMENTS), [dict(m) for m in measurements])
        return True

    def evaluated(self, keys: Collection[str] | None = None) -> dict[str, dict[str, tuple[str, str]]]:
        """Status and reason of every evaluation, or of those of some runs, by run key and evaluator."""
        columns = (EVALUATIONS.c[name] for name in ("key", "evaluator", "status", "reason"))
        endings: dict[str, dict[str, tuple[str, str]]] = {}
        query = sa.select(*columns).where(_among(EVALUATIONS, keys))
        with self.reading() as connection:
            for key, evaluator, *ending in connection.execute(query):
                endings.setdefault(key, {})[evaluator] = (ending[0], ending[1])
        return endings

    def per_datum_checksums(self, keys: Collection[str] | None = None) -> dict[tuple[str, str], str]:
        """The sha256 of the figures of single data, of all runs or of some, by key and evaluator."""
        columns = (EVALUATIONS.c[name] for name in ("key", "evaluator", "per_datum_sha256"))
        known = sa.and_(_among(EVALUATIONS, keys), EVALUATIONS.c.per_datum_sha256.is_not(None))
        with self.reading() as connection:
            found = connection.execute(sa.select(*columns).where(known))
            return {(key, evaluator): sha256 for key, evaluator, sha256 in found}

    def records(self, *, details: bool = False) -> pd.DataFrame:
        """One row per run, in the order of the plan; with ``details`` also what is long."""
        columns = [c for c in RUNS.columns if details or c.name in RECORD_COLUMNS]
        order = (RUNS.c.position, RUNS.c.seed)
        return self._frame(sa.select(*columns).order_by(*order))

    @plain_text()
    def measurements(self) -> pd.DataFrame:
        """One row per figure, with the columns that name its run."""
        names = [RUNS.c[name] for name in ("key", *PARTS, "seed")]
        runs = self._frame(sa.select(*names).order_by(RUNS.c.position, RUNS.c.seed))
        columns = (MEASUREMENTS.c[name] for name in ("key", "value", "stderr", *DESCRIBED))
        query = sa.select(*columns).execution_options(yield_per=AT_ONCE)
        with self.reading() as connection:
            return long_table(runs, connection.execute(query))

    def evaluations(self, *, details: bool = False) -> pd.DataFrame:
        """One row per evaluator and run, with status and reason; with ``details`` also what is long."""
        names = [RUNS.c[name] for name in (*PARTS, "seed")]
        others = [c for c in EVALUATIONS.columns if c.name != "key" and (details or c.name not in DETAILS)]
        joined = sa.select(EVALUATIONS.c.key, *names, *others).join(RUNS, RUNS.c.key == EVALUATIONS.c.key)
        return self._frame(joined.order_by(RUNS.c.position, RUNS.c.seed, EVALUATIONS.c.evaluator))

    def curves(self) -> pd.DataFrame:
        """The learning curves: key, epoch, train_bound, validation_bound."""
        return self._frame(sa.select(CURVES).order_by(CURVES.c.key, CURVES.c.epoch))

    def provenance(self, key: str) -> dict[str, Any]:
        """What a run was made with."""
        with self.reading() as connection:
            found = connection.execute(sa.select(RUNS.c.provenance).where(RUNS.c.key == key)).scalar()
            return dict(found or {})

    def traceback(self, key: str) -> str | None:
        """What was raised by a run that failed."""
        with self.reading() as connection:
            return connection.execute(sa.select(RUNS.c.traceback).where(RUNS.c.key == key)).scalar()

    @plain_text()
    def _frame(self, query: sa.Select[Any]) -> pd.DataFrame:
        with self.reading() as connection:
            frame = pd.read_sql(query, connection)
        unknown = set(frame.get("status", ())) - set(Status)
        if unknown:
            raise self.damaged(f"there is no status '{min(map(str, unknown))}'")
        return frame


def _among(table: sa.Table, keys: Collection[str] | None) -> sa.ColumnElement[bool]:
    return sa.true() if keys is None else table.c.key.in_(keys)


def _due_again(which: sa.ColumnElement[bool]) -> sa.Update:
    values = {"status": Status.INTERRUPTED, "reason": "waiting to be measured again"}
    return sa.update(EVALUATIONS).where(which).values(**values, traceback=None, log=None)


def _gives_way(old: sa.Row[Any], new: Mapping[str, Any]) -> bool:
    """Whether a run yields its name to another definition; raises `UserError` where results would be lost."""
    if old.key == new["key"] or new["status"] == Status.UNAVAILABLE:
        return False
    if old.status != Status.OK:
        return True
    name = " · ".join(new[kind] for kind in PARTS)
    raise UserError(
        f"seed {new['seed']} of {name} was trained with other data or other versions of its components; "
        "give another --out"
    )
