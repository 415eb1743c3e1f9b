"""Rows of a user's file, and the rules they must meet whatever the format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lvmbench import UserError
from lvmbench.data.columns import coarse
from lvmbench.data.rules import SUPPORTS
from lvmbench_plugins.datasets._long import Groups

Place = tuple[int, ...]


@dataclass(frozen=True)
class Rows:
    """Numeric values ``(N, *x)``, NaN where one is missing, the names of their columns where they have any,
    and, where asked for, a label of each datum and which of the rows make a sequence.
    """

    path: Path
    values: NDArray[Any]
    labels: NDArray[np.int64] | None
    names: tuple[str, ...] = ()
    sequences: Groups = ()

    def column(self, place: Place) -> str:
        """What a column is called."""
        return f"column '{self.names[place[0]] if self.names else ','.join(map(str, place))}'"

    @cached_property
    def gaps(self) -> NDArray[np.bool_]:
        """Which values are missing."""
        gaps: NDArray[np.bool_] = np.isnan(self.values)
        return gaps

    @property
    def has_gaps(self) -> bool:
        """Whether a value stands for what is missing: in a row, or after the end of a sequence."""
        return bool(self.gaps.any()) or len({len(rows) for rows in self.sequences}) > 1

    @property
    def data(self) -> tuple[int, str]:
        """How many data there are, and what they are."""
        return (len(self.sequences), "sequences") if self.sequences else (len(self.values), "rows")

    def rows_of(self, data: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that make some data."""
        return np.concatenate([self.sequences[i] for i in data]) if self.sequences else data

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which columns have one value alone, missing ones apart."""
        least, most = np.fmin.reduce(self.values), np.fmax.reduce(self.values)
        same: NDArray[np.bool_] = np.asarray(least == most)
        return same

    def without(self, codes: Sequence[str]) -> Rows:
        """The same rows, with NaN for each of these numbers."""
        numbers = pd.to_numeric(pd.Series(codes, dtype=str), errors="coerce").dropna().to_numpy()
        coded = np.isin(self.values, numbers)
        return replace(self, values=np.where(coded, np.nan, self.values)) if coded.any() else self

    def require_finite(self) -> None:
        """Refuse values that are infinite in single precision, naming the first column that has any."""
        with np.errstate(over="ignore"):
            bad = np.isinf(self.values.astype(np.float32))
        if bad.any():
            place, rows = _first(bad)
            raise UserError(
                f"table '{self.path}': {self.column(place)} has {len(rows)} rows that are infinite or too "
                f"large for single precision, the first is row {rows[0] + 1}; fill them or drop them"
            )

    def require_complete(self) -> None:
        """Refuse missing values, naming the first column that has any."""
        if self.gaps.any():
            place, rows = _first(self.gaps)
            raise UserError(
                f"table '{self.path}': {self.column(place)} has {len(rows)} rows without a value, the first "
                f"is row {rows[0] + 1}; say missing=nan if these were not observed, or fill them or drop them"
            )

    def require_observed(self) -> None:
        """Refuse rows and columns of which nothing was observed, but for the rows of a sequence
        that has others.
        """
        empty: NDArray[np.bool_] = np.asarray(self.gaps.reshape(len(self.values), -1).all(1))
        groups: Groups = self.sequences or tuple(np.arange(len(empty)).reshape(-1, 1))
        found = [group[0] for group in groups if empty[group].all()]
        if found:
            raise UserError(
                f"table '{self.path}': {len(found)} {self.data[1]} have no value at all, the first is row "
                f"{found[0] + 1}; drop them"
            )
        if self.gaps.all(0).any():
            place = tuple(int(i) for i in np.argwhere(self.gaps.all(0))[0])
            raise UserError(f"table '{self.path}': {self.column(place)} has no value at all; leave it out")

    def require_support(self, support: str) -> None:
        """Refuse values that do not lie where the user says."""
        lies, words = SUPPORTS[support]
        bad = ~lies(torch.from_numpy(self.values.astype(np.float64))).numpy() & ~self.gaps
        if bad.any():
            place, rows = _first(bad)
            value = self.values[(rows[0], *place)]
            raise UserError(
                f"table '{self.path}': {self.column(place)} holds {value:g} in row {rows[0] + 1}; with "
                f"values={support} each is {words}: give another values="
            )

    def require_variation(self) -> None:
        """Refuse columns that say nothing, on which a density grows without bound."""
        constant = np.flatnonzero(self.constant)
        if len(constant):
            place = (int(constant[0]),)
            value = np.fmin.reduce(self.values)[place]
            others = f" (and {len(constant) - 1} more)" if len(constant) > 1 else ""
            raise UserError(
                f"table '{self.path}': {self.column(place)}{others} is {value:g} in every row, where a "
                "density grows without bound; leave it out, or say values=real"
            )

    def require_resolution(self) -> None:
        """Refuse columns whose different values are one value in single precision."""
        columns = coarse(torch.from_numpy(self.values.astype(np.float64)))
        if columns:
            raise UserError(
                f"table '{self.path}': {self.column(columns[0])} is too far from 0 for its spread: single "
                "precision would merge its values; say standardize=true"
            )


def _first(bad: NDArray[np.bool_]) -> tuple[Place, NDArray[np.int64]]:
    """The first column that is bad somewhere, and its bad rows."""
    flat = bad.reshape(len(bad), -1)
    index = int(flat.any(0).argmax())
    place = tuple(int(i) for i in np.unravel_index(index, bad.shape[1:]))
    return place, np.flatnonzero(flat[:, index])


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


def texts(listed: str | float | None) -> list[str]:
    """What is listed in an option, each once: between semicolons where there are any, else between spaces.

    >>> texts("a b a"), texts("long name;a"), texts(2001), texts(None)
    (['a', 'b'], ['long name', 'a'], ['2001'], [])
    """
    whole = "" if listed is None else str(listed)
    pieces = whole.split(";") if ";" in whole else whole.split()
    return list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


def codes(path: Path, name: str, labels: pd.Series[Any], unlabelled: Collection[str]) -> NDArray[np.int64]:
    """Labels as 0, 1, ... in the order of their values.

    No text but an empty one is missing, unless it is said to be.
    """
    absent = labels.isna() | labels.astype(str).str.strip().isin(["", *unlabelled])
    if absent.any():
        raise UserError(
            f"table '{path}': label '{name}' has {absent.sum()} rows without a value, the first is row "
            f"{int(absent.to_numpy().argmax()) + 1}; fill them or drop them"
        )
    numbers = pd.to_numeric(labels, errors="coerce")
    labels = labels if numbers.isna().any() else numbers
    if pd.api.types.is_float_dtype(labels) and bool((labels != labels.round()).any()):
        raise UserError(
            f"table '{path}': label '{name}' holds fractions; labels must be text or whole numbers"
        )
    return np.asarray(pd.factorize(labels, sort=True)[0], np.int64)
