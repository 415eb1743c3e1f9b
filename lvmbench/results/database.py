"""What a database of results holds: its tables, and what it is called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, BigInteger, Column, Float, Integer, MetaData, String, Table, Text

from lvmbench.combinations.combination import COLUMNS, REAL_SETTINGS, WHOLE_SETTINGS
from lvmbench.errors import LvmbenchError
from lvmbench.text import printable


class Said(sa.TypeDecorator[str]):
    """What a component said, without what a terminal would obey and no database can hold."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """The text as it is kept."""
        return None if value is None else printable(value)


def _ending() -> list[Column[Any]]:
    """How a run or an evaluation ended."""
    reason = Column("reason", Said, nullable=False, default="")
    return [Column("status", String, nullable=False), reason, Column("traceback", Said), Column("log", Said)]


NAME = (*COLUMNS, "seed")
"""What a run is called; its key says by what definition of that name it was made."""
_TYPES: Mapping[str, type[sa.types.TypeEngine[Any]]] = {
    **dict.fromkeys(WHOLE_SETTINGS, Integer),
    **dict.fromkeys(REAL_SETTINGS, Float),
    "seed": BigInteger,
}
"""The types of the columns of a name that are no text."""
_OPTIONAL = ("weight_decay", "seconds", "clip")
METADATA = MetaData()
META = Table("meta", METADATA, Column("key", String, primary_key=True), Column("value", Text, nullable=False))
ENVIRONMENTS = Table(
    "environments", METADATA, Column("id", String, primary_key=True), Column("content", JSON)
)
RUNS = Table(
    "runs",
    METADATA,
    Column("key", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("suite", String, nullable=False),
    Column("suite_version", Integer, nullable=False),
    *(Column(name, _TYPES.get(name, String), nullable=name in _OPTIONAL) for name in NAME),
    *_ending(),
    Column("trained_epochs", Integer),
    Column("best_epoch", Integer),
    Column("stopped", String),
    Column("train_seconds", Float),
    Column("peak_memory_host", BigInteger),
    Column("peak_memory_device", BigInteger),
    Column("parameters", BigInteger),
    Column("device", String),
    Column("pack", Integer),
    Column("weights_sha256", String),
    Column("provenance", JSON),
    Column("environment", String),
    Column("started", String),
    Column("finished", String),
)
EVALUATIONS = Table(
    "evaluations",
    METADATA,
    Column("key", String, primary_key=True),
    Column("evaluator", String, primary_key=True),
    *_ending(),
    Column("seconds", Float),
    Column("per_datum_sha256", String),
)
MEASUREMENTS = Table(
    "measurements",
    METADATA,
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
    METADATA,
    Column("key", String, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("train_bound", Float, nullable=False),
    Column("validation_bound", Float, nullable=False),
)
LEASES = Table(
    "leases",
    METADATA,
    Column("key", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("expires", Float, nullable=False),
)
"""Which process has a run in hand, and until when if it gives no sign of life."""
DETAILS = {"position", "traceback", "log", "provenance"}
"""The columns of runs and evaluations that are not in their tables."""
RECORD_COLUMNS = [c.name for c in RUNS.columns if c.name not in DETAILS]
MIGRATIONS: Mapping[str, tuple[str, ...]] = {
    "4": ("ALTER TABLE runs ADD COLUMN log TEXT", "ALTER TABLE evaluations ADD COLUMN log TEXT"),
    "5": (
        "ALTER TABLE runs ADD COLUMN precision VARCHAR NOT NULL DEFAULT 'highest'",
        "ALTER TABLE runs ADD COLUMN weights_sha256 TEXT",
    ),
    "6": ("ALTER TABLE evaluations ADD COLUMN per_datum_sha256 TEXT",),
}
"""What makes tables of each older schema those of the next one; new tables need nothing."""
SCHEMA_VERSION = "7"


def called(url: sa.URL) -> str:
    """What messages call a database; the path of a file may hold bytes that no URL can."""
    local = url.drivername == "sqlite" and printable(url.database or "") != url.database
    return f"'{url.database}'" if local else url.render_as_string(hide_password=True)


def expect_finite(measurement: Mapping[str, Any]) -> None:
    """NaN is a status, never a figure; a missing standard error is none."""
    for field in ("value", "stderr"):
        if not math.isfinite(measurement[field] or 0.0):
            raise LvmbenchError(
                f"a measurement must be finite, got {measurement['metric']} with {field} {measurement[field]}"
            )
