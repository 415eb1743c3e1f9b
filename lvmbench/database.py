"""What a database of results holds and what it is called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from lvmbench.errors import LvmbenchError
from lvmbench.legible import printable


class Said(sa.TypeDecorator[str]):
    """What a component said, without what a terminal would obey and no database can hold."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """The text as it is kept."""
        return None if value is None else printable(value)


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
