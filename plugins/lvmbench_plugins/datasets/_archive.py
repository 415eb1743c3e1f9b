"""Reading .npz files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lvmbench import UserError, nearest
from lvmbench_plugins.datasets._rows import Rows, codes, reading, require_values

Layout = Literal["chw", "hwc"]
Arrays = Mapping[str, NDArray[Any] | None]
"""By name; None for an array of Python objects, which only a pickle could bring back."""


def read_archive(
    path: Path, array: str | None, layout: Layout | None, label: str | None, unlabelled: Sequence[str]
) -> Rows:
    """The rows of one array of an .npz file; images with their channels first."""
    arrays = _arrays(path)
    name = _only(path, arrays, label) if array is None else array
    values = _values(path, arrays, name)
    require_values(path, values.shape)
    if label is not None and label == name:
        raise UserError(f"table '{path}': array '{name}' is both values and label=; name another one")
    values = _channels_first(path, name, values, layout)
    return Rows(
        path, values, None if label is None else _labels(path, arrays, label, len(values), unlabelled)
    )


def _channels_first(path: Path, name: str, values: NDArray[Any], layout: Layout | None) -> NDArray[Any]:
    """Images with channels, height and width; asks where the channels seem to be last."""
    if values.ndim != 4:
        if layout is None:
            return values
        found = f"rows of shape {values.shape[1:]}"
        raise UserError(f"table '{path}': layout= is for images, array '{name}' holds {found}; leave it out")
    if layout is None and values.shape[3] <= 4 < values.shape[1]:
        raise UserError(
            f"table '{path}': array '{name}' has shape {values.shape}, which looks like height, width, "
            "channels; say layout=hwc, or layout=chw if they are channels, height, width"
        )
    return np.moveaxis(values, 3, 1) if layout == "hwc" else values


def _arrays(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise UserError(f"table '{path}' is not an .npz archive, or is cut short; write it with numpy.savez")
    with reading(path), np.load(path, allow_pickle=False) as archive:
        return {name: _array(archive, name) for name in archive.files}


def _array(archive: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any] | None:
    try:
        array = archive[name]
        # neither pandas nor torch takes the other order
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    except ValueError as error:
        if "allow_pickle" in str(error):
            return None
        raise


def _only(path: Path, arrays: Arrays, label: str | None) -> str:
    """The name of the array of values: ``x``, or else the only one of two or more dimensions."""
    wide = [name for name, array in arrays.items() if name != label and (array is None or array.ndim > 1)]
    if "x" not in arrays and len(wide) != 1:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise UserError(
            f"table '{path}' has {len(wide)} arrays of two or more dimensions, not one; it holds {held}: "
            "choose with array="
        )
    return "x" if "x" in arrays else wide[0]


def _named(path: Path, arrays: Arrays, name: str) -> NDArray[Any]:
    if name not in arrays:
        raise UserError(f"table '{path}' has no array '{name}'{nearest(name, arrays)}")
    array = arrays[name]
    if array is None:
        raise UserError(f"table '{path}': array '{name}' holds Python objects; save it as numbers or as text")
    return array


def _values(path: Path, arrays: Arrays, name: str) -> NDArray[Any]:
    values = _named(path, arrays, name)
    if values.ndim < 2 or values.dtype.kind not in "biuf":
        found = f"has shape {values.shape} and type {values.dtype}"
        raise UserError(f"table '{path}': array '{name}' {found}; it must be rows by columns of real numbers")
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def _labels(path: Path, arrays: Arrays, name: str, rows: int, unlabelled: Sequence[str]) -> NDArray[np.int64]:
    labels = _named(path, arrays, name)
    if labels.size != rows or len(labels) != rows:
        raise UserError(
            f"table '{path}': label array '{name}' has shape {labels.shape} for {rows} rows; it "
            "must have one per row"
        )
    return codes(path, name, pd.Series(labels.reshape(rows)), unlabelled)
