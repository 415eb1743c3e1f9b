"""Where in a report something is: the same place whatever else the report holds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from lvmbench.combinations.combination import COLUMNS


def component_anchor(kind: str, name: str) -> str:
    """The anchor of a component.

    >>> component_anchor("prior", "vamp"), component_anchor("prior", "vamp[components=50]")
    ('prior-vamp', 'prior-vamp-components-50-1d1454')
    """
    return f"{kind}-{_slug(name)}"


def combination_anchors(records: pd.DataFrame) -> pd.Series[str]:
    """The anchor of the combination of each row: of its components and all of its settings."""
    known = [name for name in COLUMNS if name in records]
    words = records[known].astype(object).where(records[known].notna(), "none")
    return pd.Series([_of(row) for row in words.itertuples(index=False)], index=records.index, dtype=str)


def _of(words: Iterable[Any]) -> str:
    return f"combination-{_hash(' '.join(map(str, words)), 10)}"


def _slug(name: str) -> str:
    """A name in letters that need no quoting; where some are lost, with a few digits of its own."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")
    return plain if plain == name else f"{plain}-{_hash(name, 6)}".strip("-")


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
