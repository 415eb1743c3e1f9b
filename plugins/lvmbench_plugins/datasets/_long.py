"""Sequences in long format: a row for each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lvmbench import UserError

Groups = tuple[NDArray[np.int64], ...]
"""The rows of each sequence, in the order of its steps."""


def sequences(path: Path, names: pd.Series[Any], steps: pd.Series[Any]) -> Groups:
    """The rows of each sequence, by the columns that name it and that number its steps.

    Rows may be in any order. No step may be there twice, and none between the first and the last be missing.
    """
    absent = names.isna() | (names.astype(str).str.strip() == "")
    if absent.any():
        row = int(absent.to_numpy().argmax()) + 1
        raise UserError(
            f"table '{path}': sequence= names '{names.name}', which is empty in row {row}; fill it"
        )
    numbers = _whole(path, steps)
    of, held = pd.factorize(names)  # in the order in which they come
    order = np.lexsort((numbers, of))
    _require_consecutive(path, held, of[order], numbers[order], order)
    return tuple(np.split(order, np.flatnonzero(np.diff(of[order])) + 1))


def one_each(path: Path, name: str, labels: NDArray[np.int64], groups: Groups) -> NDArray[np.int64]:
    """The label of each sequence, of labels of rows."""
    for group in groups:
        others = group[labels[group] != labels[group[0]]]
        if len(others):
            raise UserError(
                f"table '{path}': label '{name}' differs within a sequence, in rows {group[0] + 1} and "
                f"{others[0] + 1}; a sequence has one label"
            )
    return np.array([labels[group[0]] for group in groups])


def padded(values: NDArray[Any], groups: Groups, end: float) -> NDArray[Any]:
    """Rows ``(N, D)`` as sequences ``(S, T, D)``, all as long as the longest; ``end`` stands after theirs."""
    steps = max(map(len, groups))
    x = np.full((len(groups), steps, values.shape[1]), end, values.dtype)
    for row, group in zip(x, groups, strict=True):
        row[: len(group)] = values[group]
    return x


def _whole(path: Path, steps: pd.Series[Any]) -> NDArray[np.float64]:
    numbers = pd.to_numeric(steps, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.round(numbers)))
    if len(bad):
        found = steps.iloc[bad[0]]
        held = "is empty" if pd.isna(found) else f"holds '{found}'"
        raise UserError(
            f"table '{path}': step= names '{steps.name}', which {held} in row {bad[0] + 1}; steps are whole "
            "numbers"
        )
    return numbers


def _require_consecutive(
    path: Path, names: pd.Index, of: NDArray[Any], numbers: NDArray[np.float64], rows: NDArray[np.int64]
) -> None:
    """Refuse steps that are there twice or not at all, of rows in the order of sequences and steps."""
    moves = np.diff(numbers)
    bad = np.flatnonzero((np.diff(of) == 0) & (moves != 1))
    if not len(bad):
        return
    i = bad[0]
    before, after = (f"step {numbers[j]:.0f} in row {rows[j] + 1}" for j in (i, i + 1))
    found, remedy = f"has {before} and again in row {rows[i + 1] + 1}", "leave one of them out"
    if moves[i]:
        found = f"goes from {before} to {after}"
        remedy = "number steps one by one, and give one that was not observed empty cells, with missing=nan"
    raise UserError(f"table '{path}': sequence '{names[of[i]]}' {found}; {remedy}")
