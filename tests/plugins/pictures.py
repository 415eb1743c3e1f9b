"""What tests of data sets of pictures have in common."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lvmbench import Dataset
from lvmbench.data.files import present


def need(dataset: type[Dataset]) -> None:
    """Skip where a raw file is not here."""
    absent = [file.path for file in dataset.files if not present(file)]
    if absent:
        pytest.skip(f"LVMBENCH_DATA has no {absent[0]}")


def spread(ink: Tensor) -> tuple[float, float]:
    """The variance of where the ink of a mean picture ``(H, W)`` is, down the rows and across the columns."""
    return _variance(ink.sum(1)), _variance(ink.sum(0))


def _variance(ink: Tensor) -> float:
    share, at = ink / ink.sum(), torch.arange(len(ink), dtype=ink.dtype)
    return float((share * at**2).sum() - (share * at).sum() ** 2)
