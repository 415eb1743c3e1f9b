"""The store: every planned run, what became of it and what was measured,
in SQLite or any database of SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pandas as pd
import sqlalchemy as sa

from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.results.database import (
    CURVES,
    ENVIRONMENTS,
    EVALUATIONS,
    MEASUREMENTS,
    META,
    METADATA,
    NAME,
    RECORD_COLUMNS,
    RUNS,
    called,
    expect_finite,
)
from lvmbench.status import Status

SCHEMA_VERSION = "4"


class Store:
    """One results database, let go of at the end of a ``with``; each method is one transaction.

    Several processes may write to it.

    Arguments:
        url: An SQLAlchemy URL. Every method raises `UserError` where the database cannot be used.
    """

    def __init__(self, url: str | sa.URL) -> None:
        try:
            parsed = sa.make_url(url)
            self.url = called(parsed)
            self._engine = sa.create_engine(parsed)
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            raise _unusable("it was given", error) from None
        sa.event.listen(self._engine, "handle_error", self._complain)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _use_wal)
        try:
            self._create()
            self._check_schema()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @classmethod
    def at(cls, directory: Path, url: str | None = None) -> Store:
        """The store of a results directory: ``store.sqlite`` unless a URL is given."""
        file = sa.URL.create("sqlite", database=str(directory.resolve() / "store.sqlite"))
        return cls(url or file)

    def _complain(self, context: sa.ExceptionContext) -> None:
        """Say in one line that the database is broken, full, locked or out of reach."""
        if not isinstance(context.sqlalchemy_exception, sa.exc.IntegrityError):
            raise _unusable(self.url, context.original_exception)

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def _create(self) -> None:
        """Make the tables where they are not all there; the schema's number is written last."""
        if sa.inspect(self._engine).has_table(META.name) and "schema" in self.meta():
            return
        try:
            self._make_tables()
        except sa.exc.IntegrityError:  # another process made them at the same moment
            self._make_tables()

    def _make_tables(self) -> None:
        with self._engine.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            fresh = sa.select(sa.literal("schema"), sa.literal(SCHEMA_VERSION)).where(
                ~sa.exists(sa.select(META))
            )
            connection.execute(sa.insert(META).from_select(["key", "value"], fresh))

    def _check_schema(self) -> None:
        schema = self.meta().get("schema")
        if schema != SCHEMA_VERSION:
            raise UserError(
                f"the store {self.url} has schema {schema}, this lvmbench writes {SCHEMA_VERSION}; "
                "use a new --out"
            )

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that other writers wait for: to update a row takes its turn, in every database."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(META).where(META.c.key == "schema").values(value=SCHEMA_VERSION))
            yield connection

    def meta(self) -> dict[str, str]:
        """Facts about the store: schema, suite, version, ranking metric."""
        with self._engine.connect() as connection:
            return dict(iter(connection.execute(sa.select(META))))

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
        with self._writing() as connection:
            connection.execute(sa.delete(META).where(META.c.key.in_(facts)))
            connection.execute(sa.insert(META), [{"key": k, "value": v} for k, v in facts.items()])

    def environment(self, identifier: str, content: Mapping[str, Any]) -> None:
        """Keep a description of the machine and its software, once."""
        with self._writing() as connection:
            if not connection.execute(sa.select(ENVIRONMENTS).where(ENVIRONMENTS.c.id == identifier)).first():
                connection.execute(sa.insert(ENVIRONMENTS), [{"id": identifier, "content": dict(content)}])

    def environments(self) -> dict[str, Any]:
        """The descriptions of the machines that runs were made on, by their identifiers."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(ENVIRONMENTS.c.id, ENVIRONMENTS.c.content))
            return dict(sorted((identifier, content) for identifier, content in rows))

    def add_runs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add planned runs; the ones that are there stay as they are, except for their place in the plan.

        There is one row for each combination and seed. One made by another definition of them (other
        data, another version of a component) gives way where it has no result, and else raises `UserError`; a
        run that is unavailable now leaves what is there.
        """
        with self._writing() as connection:
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
        with self._engine.connect() as connection:
            return self._named(connection)

    def statuses(self) -> dict[str, str]:
        """The status of every run, by key."""
        with self._engine.connect() as connection:
            return dict(iter(connection.execute(sa.select(RUNS.c.key, RUNS.c.status))))

    def endings(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """Status and reason of these runs."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                sa.select(RUNS.c.status, RUNS.c.reason).where(RUNS.c.key.in_(list(keys)))
            )
            return [(status, reason) for status, reason in rows]

    def finish(self, key: str, curve: Iterable[tuple[int, float, float]] = (), **values: Any) -> None:
        """Write how the training of a run ended."""
        rows = [
            dict(zip(("key", "epoch", "train_bound", "validation_bound"), (key, *p), strict=True))
            for p in curve
        ]
        with self._writing() as connection:
            self._outdate(connection, key)
            connection.execute(sa.update(RUNS).where(RUNS.c.key == key).values(**values))
            if rows:
                connection.execute(sa.insert(CURVES), rows)

    def reopen(self, keys: Iterable[str]) -> None:
        """Make runs due again, without what they left behind but for what is to measure them."""
        with self._writing() as connection:
            for key in keys:
                self._outdate(connection, key)
                values = {"status": Status.INTERRUPTED, "reason": "waiting to be retried", "traceback": None}
                connection.execute(sa.update(RUNS).where(RUNS.c.key == key).values(**values))

    def reopen_evaluations(self, statuses: Iterable[str]) -> int:
        """Make evaluations that ended with these statuses due again; how many."""
        with self._writing() as connection:
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
        self, evaluation: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]]
    ) -> None:
        """Write what an evaluator gave for a run, in place of what it gave before."""
        for m in measurements:
            expect_finite(m)
        key, evaluator = evaluation["key"], evaluation["evaluator"]
        with self._writing() as connection:
            for table in (EVALUATIONS, MEASUREMENTS):
                connection.execute(sa.delete(table).where(table.c.key == key, table.c.evaluator == evaluator))
            connection.execute(sa.insert(EVALUATIONS), [dict(evaluation)])
            if measurements:
                connection.execute(sa.insert(MEASUREMENTS), [dict(m) for m in measurements])

    def evaluated(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Status and reason of every evaluation, by run key and evaluator."""
        columns = (EVALUATIONS.c[name] for name in ("key", "evaluator", "status", "reason"))
        endings: dict[str, dict[str, tuple[str, str]]] = {}
        with self._engine.connect() as connection:
            for key, evaluator, *ending in connection.execute(sa.select(*columns)):
                endings.setdefault(key, {})[evaluator] = (ending[0], ending[1])
        return endings

    def records(self, *, details: bool = False) -> pd.DataFrame:
        """One row per run, in the order of the plan; with ``details`` also tracebacks and provenance."""
        columns = [c for c in RUNS.columns if details or c.name in RECORD_COLUMNS]
        order = (RUNS.c.position, RUNS.c.seed)
        return self._frame(sa.select(*columns).order_by(*order))

    def measurements(self) -> pd.DataFrame:
        """One row per figure, with the columns that name its run."""
        names = [RUNS.c[name] for name in (*PARTS, "seed")]
        others = [c for c in MEASUREMENTS.columns if c.name != "key"]
        joined = sa.select(MEASUREMENTS.c.key, *names, *others).join(RUNS, RUNS.c.key == MEASUREMENTS.c.key)
        order = ("evaluator", "split", "metric", "variant", "method")
        return self._frame(
            joined.order_by(RUNS.c.position, RUNS.c.seed, *(MEASUREMENTS.c[name] for name in order))
        )

    def evaluations(self, *, details: bool = False) -> pd.DataFrame:
        """One row per evaluator and run, with status and reason; with ``details`` also tracebacks."""
        names = [RUNS.c[name] for name in (*PARTS, "seed")]
        others = [c for c in EVALUATIONS.columns if c.name != "key" and (details or c.name != "traceback")]
        joined = sa.select(EVALUATIONS.c.key, *names, *others).join(RUNS, RUNS.c.key == EVALUATIONS.c.key)
        return self._frame(joined.order_by(RUNS.c.position, RUNS.c.seed, EVALUATIONS.c.evaluator))

    def curves(self) -> pd.DataFrame:
        """The learning curves: key, epoch, train_bound, validation_bound."""
        return self._frame(sa.select(CURVES).order_by(CURVES.c.key, CURVES.c.epoch))

    def traceback(self, key: str) -> str | None:
        """What was raised by a run that failed."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(RUNS.c.traceback).where(RUNS.c.key == key)).scalar()

    def _frame(self, query: sa.Select[Any]) -> pd.DataFrame:
        with self._engine.connect() as connection:
            return pd.read_sql(query, connection)


def _due_again(which: sa.ColumnElement[bool]) -> sa.Update:
    values = {"status": Status.INTERRUPTED, "reason": "waiting to be measured again", "traceback": None}
    return sa.update(EVALUATIONS).where(which).values(**values)


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


def _unusable(url: str, error: BaseException) -> UserError:
    cause = " ".join(str(error).split())
    return UserError(f"the store {url} cannot be used: {cause}; check the path or URL and its permissions")


def _use_wal(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=60000")
    with suppress(sqlite3.OperationalError):  # another process is setting it: it stays set in the file
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
