"""What a baseline is: a model of rows that is fitted once, and has an exact log density."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from lvmbench.baselines.rows import Array, rows_of
from lvmbench.data.published import Measure
from lvmbench.dataset import Data, DataSummary
from lvmbench.errors import Refusal


class Baseline(ABC):
    """A model with an exact log p(x), of data that have the capability it ``requires``.

    Its ``measure`` says what p is. ``choice`` says what was chosen on validation, once it is fitted.
    """

    name: ClassVar[str]
    measure: Measure
    requires: ClassVar[str]
    version: ClassVar[int] = 1
    choice: str = ""

    def __init__(self, summary: DataSummary) -> None:
        self.summary = summary

    @abstractmethod
    def log_densities(self, data: Data, split: str) -> Array:
        """log p(x) of each datum of a split, ``(N,)``, fitted to the training data.

        Raises `Refusal` where the data do not allow it.
        """


class RowBaseline(Baseline):
    """A baseline under which the steps of a sequence are independent draws of one distribution.

    ``complete`` says that it cannot do with values that were not observed.
    """

    complete: ClassVar[bool] = True

    @property
    def precision(self) -> type[np.floating[Any]]:
        """The type of its rows: single precision holds every level."""
        return np.float64 if self.measure == "density" else np.float32

    @abstractmethod
    def fit(self, train: Array, validation: Array) -> None:
        """Fit it to rows ``(R, D)``, and choose on others what is to be chosen."""

    @abstractmethod
    def log_prob(self, x: Array) -> Array:
        """log p of rows, ``(R, D)`` to ``(R,)``."""

    def log_densities(self, data: Data, split: str) -> Array:
        train, validation, held = (
            rows_of(data, name, self.precision) for name in ("train", "validation", split)
        )
        if self.complete:
            gaps = any(np.isnan(rows.values).any() for rows in (train, validation, held))
            _require(not gaps, "not all values were observed")
        if self.measure == "density":
            same = int((np.nanstd(train.values, 0) == 0).sum())
            columns = "1 column is" if same == 1 else f"{same} columns are"
            _require(not same, f"{columns} constant in training: a density grows without bound there")
        self.fit(train.values, validation.values)
        return held.per_datum(self.log_prob(held.values))


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise Refusal(reason)
