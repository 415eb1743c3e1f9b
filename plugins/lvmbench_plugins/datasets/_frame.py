"""Reading .csv and .parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from lvmbench import UserError, nearest
from lvmbench_plugins.datasets._rows import Rows, codes, reading, require_values, texts

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
Separator = Literal["comma", "semicolon", "tab", "bar"]
Decimal = Literal["point", "comma"]
UNNAMED = "Unnamed: "  # what pandas calls a column without a name


@dataclass(frozen=True)
class Dialect:
    """How a .csv file is written, as far as the user says so."""

    header: bool | None
    separator: Separator | None
    decimal: Decimal | None

    @property
    def marks(self) -> dict[str, Any]:
        """What it is for pandas."""
        decimal = "," if self.decimal == "comma" else "."
        return {"sep": SEPARATORS[self.separator or "comma"], "decimal": decimal, "skipinitialspace": True}


def read_frame(
    path: Path,
    dialect: Dialect,
    columns: str | int | None,
    label: str | None,
    unlabelled: Sequence[str],
    missing: Sequence[str],
) -> Rows:
    """The rows of a .csv or .parquet file: the chosen columns, or all but the label."""
    with reading(path):
        csv = path.suffix.lower() == ".csv"
        frame = _csv(path, dialect, label, missing) if csv else pd.read_parquet(path).reset_index(drop=True)
    frame = frame.rename(columns=str)
    _require_distinct(path, frame.columns)
    asked = None if columns is None else texts(columns)
    _require_known(path, frame, [*(asked or []), *([label] if label is not None else [])])
    if label is not None and label in (asked or []):
        raise UserError(f"table '{path}': label '{label}' is among columns=; leave it out of one of them")
    names = _all_but(path, frame, label) if asked is None else asked
    require_values(path, (len(frame), len(names)))
    for name in names:
        _require_numeric(path, name, frame[name])
    values = frame[names].to_numpy(dtype=np.float64, na_value=np.nan)
    labels = None if label is None else codes(path, label, frame[label], unlabelled)
    return Rows(path, values, labels, tuple(names))


def _csv(path: Path, dialect: Dialect, label: str | None, missing: Sequence[str]) -> pd.DataFrame:
    """The file as pandas reads it, but for the label, whose cells stay as they are written."""
    plain = {"header": None, "dtype": str, "keep_default_na": False, **dialect.marks}
    first = pd.read_csv(path, nrows=1, **plain).iloc[0].str.strip()
    _require_separated(path, dialect, first)
    # Read without a header, a first row with more cells than names is an error instead of an index.
    pd.read_csv(path, nrows=2, **plain)
    headed = _has_header(path, dialect, first)
    names = [name or f"{UNNAMED}{i}" for i, name in enumerate(first)] if headed else [*map(str, first.index)]
    _require_distinct(path, names)
    whole = {"header": 0 if headed else None, "names": names, "index_col": False, **dialect.marks}
    frame: pd.DataFrame = pd.read_csv(path, low_memory=False, na_values=list(missing), **whole)
    if label in names:
        raw = pd.read_csv(path, usecols=[label], dtype=str, keep_default_na=False, **whole)
        frame[label] = raw[label].str.strip()
    return frame


def _require_separated(path: Path, dialect: Dialect, first: pd.Series[str]) -> None:
    """Ask where the first line falls into more cells by another mark than the comma."""
    line = ",".join(first)
    cells = {name: line.count(mark) + 1 for name, mark in SEPARATORS.items()}
    best = max(cells, key=lambda name: cells[name])
    if dialect.separator is None and cells[best] > len(first):
        raise UserError(
            f"table '{path}': its first line has {cells[best]} cells by {best} and {len(first)} by comma; "
            f"say separator={best} or separator=comma"
        )


def _has_header(path: Path, dialect: Dialect, first: pd.Series[str]) -> bool:
    """Whether the first line holds names; asks where it holds numbers that may be values."""
    if dialect.header is not None:
        return dialect.header
    marks = first.str.replace(dialect.marks["decimal"], ".", regex=False)
    numbers = pd.to_numeric(marks, errors="coerce").dropna()
    counted = numbers.tolist() == list(range(len(first)))
    values = len(numbers) == len(first) or (numbers != numbers.round()).any()
    if values and not counted:
        raise UserError(
            f"table '{path}' starts with a row of numbers ({first[numbers.index[0]]}, ...); say header=true "
            "if they are the columns' names, header=false if the columns have none"
        )
    return True


def _require_distinct(path: Path, names: Sequence[str] | pd.Index) -> None:
    twice = pd.Series(names)[pd.Index(names).duplicated()]
    if len(twice):
        raise UserError(f"table '{path}' has more than one column '{twice.iloc[0]}'; rename or remove one")


def _require_known(path: Path, frame: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        if name not in frame.columns:
            hint = nearest(name, frame.columns)
            raise UserError(
                f"table '{path}' has no column '{name}'{hint} (names that hold spaces go between ';')"
            )


def _all_but(path: Path, frame: pd.DataFrame, label: str | None) -> list[str]:
    names = [name for name in frame.columns if name != label]
    if any(name.startswith(UNNAMED) for name in names):
        raise UserError(
            f"table '{path}' has a column without a name, maybe row numbers; choose with columns="
        )
    return names


def _require_numeric(path: Path, name: str, column: pd.Series[Any]) -> None:
    if pd.api.types.is_numeric_dtype(column):
        return
    text = column.dropna().astype(str)
    odd = text[pd.to_numeric(text, errors="coerce").isna()]
    found = f"row {odd.index[0] + 1} holds '{odd.iloc[0]}'" if len(odd) else f"it holds {column.dtype}"
    comma = pd.to_numeric(odd.head(1).str.replace(",", "."), errors="coerce").notna().any()
    decimal = "say decimal=comma if that is a fraction, " if comma else ""
    # among numbers, a few texts may stand for what was not observed
    few = 0 < 2 * odd.nunique() <= len(text) - len(odd)
    missing = f"say missing={odd.iloc[0]} if that was not observed, " if few and not comma else ""
    raise UserError(
        f"table '{path}': column '{name}' is not numeric, {found}; "
        f"{decimal}{missing}leave it out with columns= or use it as label="
    )
