"""Reading .csv and .parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lvmbench import UserError, nearest
from lvmbench_plugins.datasets._rows import Rows, codes, reading, require_finite, require_values


def read_frame(path: Path, columns: str | None, label: str | None) -> Rows:
    """The rows of a .csv or .parquet file: the chosen columns, or all but the label."""
    with reading(path):
        frame = _csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path).reset_index(drop=True)
    frame = frame.rename(columns=str)
    asked = None if columns is None else _split(columns)
    _require_known(path, frame, [*(asked or []), *([label] if label is not None else [])])
    names = _all_but(path, frame, label) if asked is None else asked
    require_values(path, (len(frame), len(names)))
    for name in names:
        _require_numeric(path, name, frame[name])
    values = frame[names].to_numpy(dtype=np.float64, na_value=np.nan)
    require_finite(path, values, names)
    return Rows(values, codes(path, label, frame[label]) if label is not None else None)


def _csv(path: Path) -> pd.DataFrame:
    # Read without a header, a first row with more cells than names is an error instead of an index.
    top = pd.read_csv(path, header=None, nrows=2)
    numeric = all(pd.api.types.is_numeric_dtype(kind) for kind in top.dtypes)
    if numeric and top.iloc[0].tolist() != list(range(top.shape[1])):
        raise UserError(
            f"table '{path}' starts with a row of numbers; add a first line with the columns' names"
        )
    return pd.read_csv(path, low_memory=False)


def _split(columns: str) -> list[str]:
    """The names in ``columns``, each once."""
    pieces = columns.split(";") if ";" in columns else columns.split()
    return list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


def _require_known(path: Path, frame: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        if name not in frame.columns:
            hint = nearest(name, frame.columns)
            raise UserError(
                f"table '{path}' has no column '{name}'{hint} (names that hold spaces go between ';')"
            )


def _all_but(path: Path, frame: pd.DataFrame, label: str | None) -> list[str]:
    names = [name for name in frame.columns if name != label]
    if any(name.startswith("Unnamed: ") for name in names):  # what pandas calls a column without a name
        raise UserError(
            f"table '{path}' has a column without a name, maybe row numbers; choose with columns="
        )
    return names


def _require_numeric(path: Path, name: str, column: pd.Series[Any]) -> None:
    if not pd.api.types.is_numeric_dtype(column):
        text = column.dropna().astype(str)
        odd = text[pd.to_numeric(text, errors="coerce").isna()]
        found = f"row {odd.index[0] + 1} holds '{odd.iloc[0]}'" if len(odd) else f"it holds {column.dtype}"
        raise UserError(
            f"table '{path}': column '{name}' is not numeric, {found}; "
            "leave it out with columns= or use it as label="
        )
