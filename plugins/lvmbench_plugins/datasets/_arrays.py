"""Arrays that were published together in one file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from lvmbench import UserError
from lvmbench.data.files import unpacked

Shape = tuple[int | None, ...]
"""The sizes of an array; None where any will do."""
Arrays = dict[str, NDArray[Any]]


def read_matlab(path: Path, due: Mapping[str, Shape]) -> Arrays:
    """The arrays of a MATLAB file that are due, by name."""
    return _as_due(path, _matlab(path), due)


def read_cells(path: Path, due: Sequence[str], columns: int) -> dict[str, list[NDArray[Any]]]:
    """The cells of the cell arrays of a MATLAB file that are due, by name.

    Each cell is rows of so many numbers.
    """
    found = _matlab(path)
    if any(name not in found or found[name].dtype.kind != "O" for name in due):
        held = ", ".join(f"{name} of type {array.dtype}" for name, array in found.items()) or "nothing"
        raise UserError(f"raw file '{path}' holds {held}; it must hold cell arrays {', '.join(due)}")
    cells = {name: list(found[name].flat) for name in due}
    for name, tables in cells.items():
        for i, table in enumerate(tables):
            _require_rows(f"raw file '{path}': cell {i} of '{name}'", table, columns)
    return cells


def _require_rows(what: str, table: NDArray[Any], columns: int) -> None:
    if not (_fits(table, (None, columns)) and len(table)):
        found = f"is of type {table.dtype} and shape {table.shape}"
        raise UserError(f"{what} {found}; it is rows of {columns} numbers, at least one")


def _matlab(path: Path) -> Arrays:
    with _reading(path, "MATLAB file"):
        held = scipy.io.loadmat(io.BytesIO(unpacked(path)))  # type: ignore[arg-type]  # a file in memory will do
        return {name: array for name, array in held.items() if isinstance(array, np.ndarray)}


def read_npz(path: Path, due: Mapping[str, Shape]) -> Arrays:
    """The arrays of an .npz file that are due, by name."""
    with _reading(path, ".npz file"), np.load(io.BytesIO(unpacked(path)), allow_pickle=False) as held:
        found = dict(held)
    return _as_due(path, found, due)


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Say in one line why a library could not read a file; for broken files they raise errors of any kind."""
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"raw file '{path}' is no {what} that can be read ({reason})") from error


def _as_due(path: Path, found: Arrays, due: Mapping[str, Shape]) -> Arrays:
    """Refuse a file of another layout."""
    if not all(name in found and _fits(found[name], shape) for name, shape in due.items()):
        wanted = ", ".join(f"{name} {_sizes(shape)}" for name, shape in due.items())
        held = ", ".join(f"{name} {_sizes(array.shape)}" for name, array in found.items()) or "nothing"
        raise UserError(f"raw file '{path}' holds {held}; it must hold numbers: {wanted}")
    return {name: found[name] for name in due}


def _fits(array: NDArray[Any], shape: Shape) -> bool:
    alike = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    return alike and array.dtype.kind in "biuf"


def _sizes(shape: Shape) -> str:
    return f"({', '.join('n' if size is None else str(size) for size in shape)})"
