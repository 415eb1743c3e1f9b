"""The store: every planned run, what became of it and what was measured, in SQLite or any database of SQLAlchemy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import JSON, Column, Float, Integer, MetaData, String, Table, Text

from lvmbench.errors import LvmbenchError, UserError
from lvmbench.status import Status

SCHEMA_VERSION = "1"
_metadata = MetaData()
META = Table(
    "meta", _metadata, Column("key", String, primary_key=True), Column("value", Text, nullable=False)
)
ENVIRONMENTS = Table(
    "environments", _metadata, Column("id", String, primary_key=True), Column("content", JSON)
)
_COMBINATION = ("dataset", "prior", "posterior", "decoder", "objective", "estimator")
RUNS = Table(
    "runs",
    _metadata,
    Column("key", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("suite", String, nullable=False),
    Column("suite_version", Integer, nullable=False),
    *(Column(name, String, nullable=False) for name in _COMBINATION),
    Column("latent", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("traceback", Text),
    Column("epochs", Integer),
    Column("best_epoch", Integer),
    Column("train_seconds", Float),
    Column("parameters", Integer),
    Column("device", String),
    Column("pack", Integer),
    Column("provenance", JSON),
    Column("environment", String),
    Column("started", String),
    Column("finished", String),
)
EVALUATIONS = Table(
    "evaluations",
    _metadata,
    Column("key", String, primary_key=True),
    Column("evaluator", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("traceback", Text),
    Column("seconds", Float),
)
MEASUREMENTS = Table(
    "measurements",
    _metadata,
    *(
        Column(name, String, primary_key=True)
        for name in ("key", "evaluator", "split", "metric", "variant", "method")
    ),
    Column("value", Float, nullable=False),
    Column("stderr", Float),
    Column("unit", String, nullable=False),
    Column("better", String, nullable=False),
)
CURVES = Table(
    "curves",
    _metadata,
    Column("key", String, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("train_bound", Float, nullable=False),
    Column("validation_bound", Float, nullable=False),
)
RECORD_COLUMNS = [c.name for c in RUNS.columns if c.name not in {"position", "traceback", "provenance"}]


class Store:
    """One results database; each method is one transaction.

    Arguments:
        url: An SQLAlchemy URL. Raises `UserError` where it cannot be opened or was written by another version of the schema.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._engine = sa.create_engine(url)
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _use_wal)
            _metadata.create_all(self._engine)
            self._check_schema()
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            cause = " ".join(str(getattr(error, "orig", None) or error).split())
            raise UserError(
                f"the store {url} cannot be opened: {cause}; check the path or URL and its permissions"
            ) from None

    @classmethod
    def at(cls, directory: Path, url: str | None = None) -> Store:
        """The store of a results directory: ``store.sqlite`` unless a URL is given."""
        return cls(url or f"sqlite:///{directory.resolve() / 'store.sqlite'}")

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def _check_schema(self) -> None:
        found = self.meta().get("schema")
        if found is None:
            self._insert(META, [{"key": "schema", "value": SCHEMA_VERSION}])
        elif found != SCHEMA_VERSION:
            raise UserError(
                f"the store {self.url} has schema {found}, this lvmbench writes {SCHEMA_VERSION}; use a new --out"
            )

    def meta(self) -> dict[str, str]:
        """Facts about the store: schema, suite, version, ranking metric."""
        with self._engine.connect() as connection:
            return dict(connection.execute(sa.select(META)).tuples().all())

    def claim(self, suite: str, version: int) -> None:
        """Bind the store to a suite; raises `UserError` where it holds another one."""
        meta = self.meta()
        found = (meta.get("suite", suite), meta.get("version", str(version)))
        if found != (suite, str(version)):
            raise UserError(
                f"the store {self.url} holds suite '{found[0]}' version {found[1]}, not '{suite}' version {version}; "
                "give another --out"
            )
        self.note(suite=suite, version=str(version))

    def note(self, **facts: str) -> None:
        """Write facts about the store."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(META).where(META.c.key.in_(facts)))
            connection.execute(sa.insert(META), [{"key": k, "value": v} for k, v in facts.items()])

    def environment(self, identifier: str, content: Mapping[str, Any]) -> None:
        """Keep a description of the machine and its software, once."""
        with self._engine.begin() as connection:
            if not connection.execute(sa.select(ENVIRONMENTS).where(ENVIRONMENTS.c.id == identifier)).first():
                connection.execute(sa.insert(ENVIRONMENTS), [{"id": identifier, "content": dict(content)}])

    def add_runs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add planned runs; the ones that are there stay as they are, except for their place in the plan."""
        known = set(self.statuses())
        with self._engine.begin() as connection:
            for row in rows:
                if row["key"] in known:
                    place = sa.update(RUNS).where(RUNS.c.key == row["key"]).values(position=row["position"])
                    connection.execute(place)
        self._insert(RUNS, [row for row in rows if row["key"] not in known])

    def statuses(self) -> dict[str, str]:
        """The status of every run, by key."""
        with self._engine.connect() as connection:
            return dict(connection.execute(sa.select(RUNS.c.key, RUNS.c.status)).tuples().all())

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
        with self._engine.begin() as connection:
            self._forget(connection, key)
            connection.execute(sa.update(RUNS).where(RUNS.c.key == key).values(**values))
            if rows:
                connection.execute(sa.insert(CURVES), rows)

    def reopen(self, keys: Iterable[str]) -> None:
        """Make runs due again, without what they left behind."""
        with self._engine.begin() as connection:
            for key in keys:
                self._forget(connection, key)
                values = {"status": Status.INTERRUPTED, "reason": "waiting to be retried", "traceback": None}
                connection.execute(sa.update(RUNS).where(RUNS.c.key == key).values(**values))

    def reopen_evaluations(self, statuses: Iterable[str]) -> int:
        """Make evaluations that ended with these statuses due again; how many."""
        with self._engine.begin() as connection:
            return connection.execute(
                sa.delete(EVALUATIONS).where(EVALUATIONS.c.status.in_(list(statuses)))
            ).rowcount

    @staticmethod
    def _forget(connection: sa.Connection, key: str) -> None:
        for table in (CURVES, MEASUREMENTS, EVALUATIONS):
            connection.execute(sa.delete(table).where(table.c.key == key))

    def add_evaluation(
        self, evaluation: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]]
    ) -> None:
        """Write what an evaluator gave for a run, in place of what it gave before."""
        bad = [m for m in measurements if not math.isfinite(m["value"])]
        if bad:
            raise LvmbenchError(f"a measurement must be finite, got {bad[0]['metric']} = {bad[0]['value']}")
        key, evaluator = evaluation["key"], evaluation["evaluator"]
        with self._engine.begin() as connection:
            for table in (EVALUATIONS, MEASUREMENTS):
                connection.execute(sa.delete(table).where(table.c.key == key, table.c.evaluator == evaluator))
            connection.execute(sa.insert(EVALUATIONS), [dict(evaluation)])
            if measurements:
                connection.execute(sa.insert(MEASUREMENTS), [dict(m) for m in measurements])

    def evaluated(self) -> set[tuple[str, str]]:
        """The pairs of run key and evaluator that are done."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(EVALUATIONS.c.key, EVALUATIONS.c.evaluator))
            return {(key, evaluator) for key, evaluator in rows}

    def records(self, *, details: bool = False) -> pd.DataFrame:
        """One row per run, in the order of the plan; with ``details`` also tracebacks and provenance."""
        columns = [c for c in RUNS.columns if details or c.name in RECORD_COLUMNS]
        order = (RUNS.c.position, RUNS.c.seed)
        return self._frame(sa.select(*columns).order_by(*order))

    def measurements(self) -> pd.DataFrame:
        """One row per figure, with the columns that name its run."""
        names = [RUNS.c[name] for name in (*_COMBINATION, "seed")]
        others = [c for c in MEASUREMENTS.columns if c.name != "key"]
        joined = sa.select(MEASUREMENTS.c.key, *names, *others).join(RUNS, RUNS.c.key == MEASUREMENTS.c.key)
        order = ("evaluator", "split", "metric", "variant", "method")
        return self._frame(
            joined.order_by(RUNS.c.position, RUNS.c.seed, *(MEASUREMENTS.c[name] for name in order))
        )

    def evaluations(self) -> pd.DataFrame:
        """One row per evaluator and run, with status and reason."""
        names = [RUNS.c[name] for name in (*_COMBINATION, "seed")]
        others = [c for c in EVALUATIONS.columns if c.name not in {"key", "traceback"}]
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

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(table), [dict(row) for row in rows])


def _use_wal(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
