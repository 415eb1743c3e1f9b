"""A table of the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray

from lvmbench import Data, Dataset, Probability, Size, Split, Support, UserError, generator
from lvmbench.data.rules import WHOLE
from lvmbench_plugins.datasets._archive import Layout, read_archive
from lvmbench_plugins.datasets._frame import Columns, Decimal, Dialect, Separator, read_frame
from lvmbench_plugins.datasets._long import padded
from lvmbench_plugins.datasets._rows import Rows, texts

Values = Literal["auto", "binary", "unit", "count", "real"]
OPTIONS = {
    ".csv": ("columns", "sequence", "step", "header", "separator", "decimal"),
    ".parquet": ("columns", "sequence", "step"),
    ".npz": ("array", "layout"),
}
"""The options that only some files have."""
BYTE = 255
"""The largest value of a byte, which means a missing one where there are any."""
HOLD = {"binary": "only 0 and 1", "count": "only whole numbers"}
"""What values of the supports hold that are no interval."""


@final
class Table(Dataset):
    """Your own rows of numbers, from a .csv, .parquet or .npz file.

    Data of zeros and ones only is ``binary``, of whole numbers only ``count``; other data is ``real``, and
    also ``unit`` where it lies between 0 and 1. Rows of three dimensions are images. Rows are shuffled, then
    split. With ``sequence`` and ``step`` each row is a step of a sequence, and whole sequences are split.

    References:
        Tidy Data (Wickham, 2014), https://doi.org/10.18637/jss.v059.i10

    Arguments:
        path: The file; ``~`` is the home folder, and relative paths start at the current one.
        columns: The columns of values in a .csv or .parquet file, between spaces, or between semicolons where
            names hold spaces; all but the label where not given.
        label: The column, or in an .npz file the array, of labels: text or whole numbers.
        sequence: The column that says which sequence a row belongs to, as text.
        step: The column of the step's number within its sequence, in any order; none may be missing in
            between. A step that was not observed has a row of missing values.
        array: The array of values in an .npz file; where not given, ``x`` or else the only one of two or more
            dimensions.
        values: What the values are: ``binary``, ``unit``, ``count`` or ``real``. With ``auto`` they say it
            themselves; ``real`` takes whole numbers as real ones, and lets constant columns pass.
        standardize: Whether each column is shifted and scaled to mean 0 and standard deviation 1 over the
            training rows.
        missing: The texts and numbers that mean a value that was not observed, listed as ``columns`` is;
            empty cells and NaN then mean it too. Where not given, a missing value is refused.
        unlabelled: The texts that mean a missing label, listed as ``columns`` is; an empty one always does.
        header: Whether the first line of a .csv file has the columns' names; without them these are called
            0, 1, ... Where not given it has, and a line of numbers is asked about.
        separator: What stands between the cells of a .csv file; where not given a comma.
        decimal: What stands before the decimals in a .csv file; where not given a point.
        layout: The order of an image's dimensions in an .npz file, channels first or last; where not given
            channels are first, and what looks otherwise is asked about.
        validation: The share of rows for validation.
        test: The share of rows for testing.
        seed: What the shuffle comes from.

    Example:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "flowers.csv")
        >>> _ = path.write_text("width,height,kind\\n" + "1.5,2.5,rose\\n3.5,0.5,lily\\n" * 10)
        >>> data = Table(path=str(path), label="kind").load()
        >>> {name: tuple(split.x.shape) for name, split in data.splits.items()}
        {'train': (14, 2), 'validation': (2, 2), 'test': (4, 2)}
        >>> folder.cleanup()
    """

    version = 2

    def __init__(
        self,
        *,
        path: str,
        columns: str | int | None = None,
        label: str | int | None = None,
        sequence: str | int | None = None,
        step: str | int | None = None,
        array: str | None = None,
        values: Values = "auto",
        standardize: bool = False,
        missing: str | float | None = None,
        unlabelled: str | int | None = None,
        header: bool | None = None,
        separator: Separator | None = None,
        decimal: Decimal | None = None,
        layout: Layout | None = None,
        validation: Probability = 0.1,
        test: Probability = 0.2,
        seed: Size = 0,
    ) -> None:
        self.path = Path(path).expanduser()
        asked = None if columns is None else texts(columns)
        self.columns = Columns(
            asked, *(None if name is None else str(name) for name in (label, sequence, step))
        )
        self.array, self.layout = array, layout
        self.dialect, self.unlabelled = Dialect(header, separator, decimal), texts(unlabelled)
        self.missing = None if missing is None else texts(missing)
        self.given = {
            "columns": columns,
            "sequence": sequence,
            "step": step,
            "array": array,
            "layout": layout,
            "header": header,
            "separator": separator,
            "decimal": decimal,
        }
        self.values, self.standardize = values, standardize
        self.validation, self.test, self.seed = validation, test, seed

    def load(self) -> Data:
        rows = self._observed(self._read())
        parts = self._parts(*rows.data)
        if rows.constant.all():
            raise UserError(f"table '{self.path}' is constant: its {len(rows.values)} rows are all the same")
        support = self._support(rows)
        values = self._kept(rows, support, rows.rows_of(parts["train"]))
        missing = _code(values) if rows.has_gaps else None
        if rows.sequences:
            values = padded(values, rows.sequences, _code(values))
        return Data(
            {name: _split(values, rows.labels, part, missing) for name, part in parts.items()},
            support,
            f"not stated: from '{self.path.name}'",
            provides=frozenset({"image"} if values.ndim == 4 else ()),
            columns=rows.names,
            advice={"real": "values=real takes whole numbers as real ones"} if support == "count" else {},
            sequence=bool(rows.sequences),
        )

    def _read(self) -> Rows:
        suffix = self.path.suffix.lower()
        if suffix not in OPTIONS:
            raise UserError(f"table '{self.path}' has suffix '{suffix}'; it must be .csv, .parquet or .npz")
        if not self.path.is_file():
            raise UserError(
                f"table '{self.path}': no such file below '{Path.cwd()}'; give its path with path="
            )
        for name, value in self.given.items():
            if value is not None and name not in OPTIONS[suffix]:
                known = ", ".join(f"{option}=" for option in OPTIONS[suffix])
                raise UserError(
                    f"table '{self.path}': option '{name}' is not for {suffix} files, which "
                    f"have {known}; leave it out"
                )
        if (self.columns.sequence is None) != (self.columns.step is None):
            raise UserError(
                f"table '{self.path}': sequence= and step= go together; give both, or leave both out"
            )
        if suffix == ".npz":
            return read_archive(self.path, self.array, self.layout, self.columns.label, self.unlabelled)
        return read_frame(self.path, self.dialect, self.columns, self.unlabelled, self.missing or ())

    def _observed(self, rows: Rows) -> Rows:
        """The rows with NaN for what is said to mean missing.

        Refuses them where something is missing and nothing is said.
        """
        rows = rows.without(self.missing or [])
        rows.require_finite()
        if self.missing is None:
            rows.require_complete()
        rows.require_observed()
        return rows

    def _parts(self, count: int, what: str) -> dict[str, NDArray[np.int64]]:
        """Which of so many rows or sequences are in each split."""
        validation, test = round(count * self.validation), round(count * self.test)
        sizes = {"train": count - validation - test, "validation": validation, "test": test}
        if min(sizes.values()) < 1:
            found = ", ".join(f"{size} for {name}" for name, size in sizes.items())
            raise UserError(
                f"table '{self.path}': {count} {what} make {found}; each needs 1, so add {what} or change "
                "validation= and test="
            )
        order = torch.randperm(count, generator=generator(self.seed, "table", "split"))
        return {
            name: part.numpy()
            for name, part in zip(sizes, torch.split(order, list(sizes.values())), strict=True)
        }

    def _support(self, rows: Rows) -> Support:
        """Where the values lie, once they are standardised if they are to be:
        as the user says, or as they do themselves.
        """
        if self.values != "auto":
            rows.require_support(self.values)
            return self._once_standardized(self.values)
        found = _found(rows.values)
        if found in HOLD:
            return self._once_standardized(found)
        if rows.values.ndim == 2 and not self.standardize:
            rows.require_variation()
        return "real" if self.standardize else found

    def _once_standardized(self, support: Support) -> Support:
        if self.standardize and support in HOLD:
            raise UserError(
                f"table '{self.path}' holds {HOLD[support]}, which standardize= would undo; leave it out, or "
                "add values=real"
            )
        return "real" if self.standardize else support

    def _kept(self, rows: Rows, support: Support, train: NDArray[np.int64]) -> NDArray[Any]:
        """The values as they are kept: in a byte where one holds them, else in single precision."""
        values = rows.values
        if self.standardize:
            return self._standardized(rows, train).astype(np.float32)
        if _whole(values) and np.nanmax(values) <= (BYTE - 1 if rows.has_gaps else BYTE):
            return np.where(rows.gaps, BYTE, values).astype(np.uint8)
        if support in ("unit", "real"):
            rows.require_resolution()
        return values.astype(np.float32)

    def _standardized(self, rows: Rows, train: NDArray[np.int64]) -> NDArray[np.float64]:
        values = rows.values.astype(np.float64)
        mean, scale = np.nanmean(values[train], 0), np.nanstd(values[train], 0)
        constant = np.argwhere(replace(rows, values=values[train]).constant)
        if len(constant):
            raise UserError(
                f"table '{self.path}': {len(constant)} columns are constant over the training rows and have "
                f"no scale, the first is {rows.column(tuple(constant[0]))}; leave them out, or "
                "leave out standardize="
            )
        standard: NDArray[np.float64] = (values - mean) / scale
        return standard


def _found(values: NDArray[Any]) -> Support:
    """Where values lie; whole numbers that single precision rounds can be no counts."""
    least, most = np.nanmin(values), np.nanmax(values)
    if _whole(values) and most <= WHOLE:
        return "binary" if most <= 1 else "count"
    return "unit" if least >= 0 and most <= 1 else "real"


def _whole(values: NDArray[Any]) -> bool:
    return bool(np.nanmin(values) >= 0 and ((values == np.round(values)) | np.isnan(values)).all())


def _code(values: NDArray[Any]) -> float:
    """What means that one of the kept values is missing."""
    return BYTE if values.dtype == np.uint8 else np.nan


def _split(
    values: NDArray[Any],
    labels: NDArray[np.int64] | None,
    rows: NDArray[np.int64],
    missing: float | None,
) -> Split:
    known = None if labels is None else torch.from_numpy(labels[rows])
    return Split(torch.from_numpy(values[rows]), known, missing=missing)
