"""Reading .csv and .parquet files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from lvmbench import UserError, nearest
from lvmbench_plugins.datasets._long import one_each, sequences
from lvmbench_plugins.datasets._rows import Rows, codes, reading, require_values

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


@dataclass(frozen=True)
class Columns:
    """Which columns are what: values, all others where ``None``; the label; and in long format the name of
    the sequence and the number of the step.
    """

    values: list[str] | None
    label: str | None
    sequence: str | None
    step: str | None

    @property
    def others(self) -> dict[str, str]:
        """The columns that hold no values, by what they are."""
        found = {"label": self.label, "sequence": self.sequence, "step": self.step}
        return {role: name for role, name in found.items() if name is not None}


def read_frame(
    path: Path, dialect: Dialect, columns: Columns, unlabelled: Sequence[str], missing: Sequence[str]
) -> Rows:
    """The rows of a .csv or .parquet file: the chosen columns, or all that are nothing else."""
    others = columns.others
    with reading(path):
        csv = path.suffix.lower() == ".csv"
        frame = (
            _csv(path, dialect, [name for role, name in others.items() if role != "step"], missing)
            if csv
            else pd.read_parquet(path).reset_index(drop=True)
        )
    frame = frame.rename(columns=str)
    _require_distinct(path, frame.columns)
    _require_known(path, frame, [*(columns.values or []), *others.values()])
    _require_apart(path, columns)
    names = _all_but(path, frame, others.values()) if columns.values is None else columns.values
    require_values(path, (len(frame), len(names)))
    for name in names:
        _require_numeric(path, name, frame[name])
    values = frame[names].to_numpy(dtype=np.float64, na_value=np.nan)
    of = {role: frame[name] for role, name in others.items()}
    groups = sequences(path, of["sequence"], of["step"]) if "sequence" in of else ()
    labels = codes(path, others["label"], of["label"], unlabelled) if "label" in of else None
    if groups and labels is not None:
        labels = one_each(path, others["label"], labels, groups)
    return Rows(path, values, labels, tuple(names), groups)


def _require_apart(path: Path, columns: Columns) -> None:
    """Refuse a column that is to be two things."""
    taken = dict.fromkeys(columns.values or [], "columns")
    for role, name in columns.others.items():
        if name in taken:
            raise UserError(
                f"table '{path}': {role}= names '{name}', which {taken[name]}= does too; leave it out of one"
            )
        taken[name] = role


def _csv(path: Path, dialect: Dialect, plain_texts: Sequence[str], missing: Sequence[str]) -> pd.DataFrame:
    """The file as pandas reads it, but for some columns, whose cells stay as they are written."""
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
    for name in {*plain_texts} & {*names}:
        raw = pd.read_csv(path, usecols=[name], dtype=str, keep_default_na=False, **whole)
        frame[name] = raw[name].str.strip()
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


def _all_but(path: Path, frame: pd.DataFrame, others: Collection[str]) -> list[str]:
    names = [name for name in frame.columns if name not in others]
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
