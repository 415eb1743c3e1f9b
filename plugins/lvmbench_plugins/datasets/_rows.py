"""Rows of a user's file, and the rules they must meet whatever the format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lvmbench import UserError


@dataclass(frozen=True)
class Rows:
    """Numeric values ``(N, *x)`` and, where asked for, labels ``(N,)``."""

    values: NDArray[Any]
    labels: NDArray[np.int64] | None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one line why a library could not read a file; for broken files they raise errors of any kind."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"table '{path}': .parquet files need pyarrow; pip install 'lvmbench[parquet]'"
        ) from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"table '{path}' cannot be read ({reason}); check that it is complete and what its suffix says"
        ) from error


def require_values(path: Path, shape: Sequence[int]) -> None:
    """Refuse a file without values."""
    if 0 in shape:
        size = " by ".join(map(str, shape))
        raise UserError(
            f"table '{path}' is empty: its values are {size}; it needs rows and columns of numbers"
        )


def require_finite(path: Path, values: NDArray[Any], names: Sequence[str] | None) -> None:
    """Refuse values that are not numbers in single precision, naming the first column that has any."""
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32)).reshape(len(values), -1)
    if bad.any():
        place = int(bad.any(0).argmax())
        index = np.unravel_index(place, values.shape[1:])
        name = names[place] if names else ",".join(str(int(i)) for i in index)
        rows = np.flatnonzero(bad[:, place])
        raise UserError(
            f"table '{path}': column '{name}' has {len(rows)} rows that are missing, NaN, infinite or too large "
            f"for single precision, the first is row {rows[0] + 1}; fill them or drop them"
        )


def codes(path: Path, name: str, labels: pd.Series[Any]) -> NDArray[np.int64]:
    """Labels as 0, 1, ... in the order of their values."""
    missing = int(labels.isna().sum())
    if missing:
        raise UserError(
            f"table '{path}': label '{name}' has {missing} rows without a value; fill them or drop them"
        )
    if pd.api.types.is_float_dtype(labels) and bool((labels != labels.round()).any()):
        raise UserError(
            f"table '{path}': label '{name}' holds fractions; labels must be text or whole numbers"
        )
    return np.asarray(pd.factorize(labels, sort=True)[0], np.int64)
