"""A table of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray

from lvmbench import Data, Dataset, Probability, Size, Split, UserError, generator
from lvmbench_plugins.datasets._archive import read_archive
from lvmbench_plugins.datasets._frame import read_frame
from lvmbench_plugins.datasets._rows import Rows


@final
class Table(Dataset):
    """Your own rows of numbers, from a .csv, .parquet or .npz file.

    Data of zeros and ones only is ``binary``; other data is ``real``, and also ``unit`` where it lies between 0 and 1. Rows
    of three dimensions are images: channels, height, width. Rows are shuffled, then split.

    References:
        Tidy Data (Wickham, 2014), https://doi.org/10.18637/jss.v059.i10

    Arguments:
        path: The file; ``~`` is the home folder, and relative paths start at the current one.
        columns: The columns of values in a .csv or .parquet file, between spaces, or between semicolons where names
            hold spaces; all but the label where not given.
        label: The column, or in an .npz file the array, of labels: text or whole numbers.
        array: The array of values in an .npz file; where not given, ``x`` or else the only one of two or more dimensions.
        validation: The share of rows for validation.
        test: The share of rows for testing.
        seed: What the shuffle comes from.
        standardize: Whether each column is shifted and scaled to mean 0 and standard deviation 1 over the training rows.

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

    def __init__(
        self,
        *,
        path: str,
        columns: str | None = None,
        label: str | None = None,
        array: str | None = None,
        validation: Probability = 0.1,
        test: Probability = 0.2,
        seed: Size = 0,
        standardize: bool = False,
    ) -> None:
        self.path = Path(path).expanduser()
        self.columns, self.label, self.array = columns, label, array
        self.validation, self.test = validation, test
        self.seed, self.standardize = seed, standardize

    def load(self) -> Data:
        rows = self._read()
        parts = self._parts(len(rows.values))
        if (rows.values == rows.values[0]).all():
            raise UserError(f"table '{self.path}' is constant: its {len(rows.values)} rows are all the same")
        values, support = self._values(rows.values, parts["train"])
        splits = {name: _split(values, rows.labels, part) for name, part in parts.items()}
        image = frozenset({"image"} if values.ndim == 4 else ())
        return Data(splits, support, f"not stated: from '{self.path.name}'", provides=image)

    def _read(self) -> Rows:
        suffix = self.path.suffix.lower()
        if suffix not in (".csv", ".parquet", ".npz"):
            raise UserError(f"table '{self.path}' has suffix '{suffix}'; it must be .csv, .parquet or .npz")
        if not self.path.is_file():
            raise UserError(
                f"table '{self.path}': no such file below '{Path.cwd()}'; give its path with path="
            )
        archive = suffix == ".npz"
        if (self.columns if archive else self.array) is not None:
            wrong, right = ("columns", "array") if archive else ("array", "columns")
            raise UserError(
                f"table '{self.path}': option '{wrong}' is not for {suffix} files; choose with {right}="
            )
        return (
            read_archive(self.path, self.array, self.label)
            if archive
            else read_frame(self.path, self.columns, self.label)
        )

    def _parts(self, rows: int) -> dict[str, NDArray[np.int64]]:
        """The rows of each split."""
        validation, test = round(rows * self.validation), round(rows * self.test)
        sizes = {"train": rows - validation - test, "validation": validation, "test": test}
        if min(sizes.values()) < 1:
            found = ", ".join(f"{size} for {name}" for name, size in sizes.items())
            raise UserError(
                f"table '{self.path}': {rows} rows make {found}; each needs 1, so add rows or change validation= and test="
            )
        order = torch.randperm(rows, generator=generator(self.seed, "table", "split"))
        return {
            name: part.numpy()
            for name, part in zip(sizes, torch.split(order, list(sizes.values())), strict=True)
        }

    def _values(
        self, values: NDArray[Any], train: NDArray[np.int64]
    ) -> tuple[NDArray[Any], Literal["binary", "unit", "real"]]:
        """The values as they are kept, and where they lie."""
        if ((values == 0) | (values == 1)).all():
            if self.standardize:
                raise UserError(
                    f"table '{self.path}' holds only 0 and 1, which standardize= would undo; leave it out"
                )
            return values.astype(np.uint8), "binary"
        if self.standardize:
            return self._standardized(values.astype(np.float64), train).astype(np.float32), "real"
        unit = values.min() >= 0 and values.max() <= 1
        return values.astype(np.float32), "unit" if unit else "real"

    def _standardized(self, values: NDArray[np.float64], train: NDArray[np.int64]) -> NDArray[np.float64]:
        mean, scale = values[train].mean(0), values[train].std(0)
        constant = int((values[train] == values[train][0]).all(0).sum())
        if constant:
            raise UserError(
                f"table '{self.path}': {constant} columns are constant over the training rows and have no scale; "
                "leave them out, or leave out standardize="
            )
        standard: NDArray[np.float64] = (values - mean) / scale
        return standard


def _split(values: NDArray[Any], labels: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> Split:
    return Split(torch.from_numpy(values[rows]), None if labels is None else torch.from_numpy(labels[rows]))
