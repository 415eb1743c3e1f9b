"""The rows that baselines read: a datum each, or a step of a sequence each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lvmbench.data.rules import events
from lvmbench.dataset import Data
from lvmbench.noise import Stream
from lvmbench.observation import lasting

Array = NDArray[np.floating[Any]]


class Rows(NamedTuple):
    """The values of a split, one row for each datum or step, ``(R, D)``, NaN where nothing was observed,
    and the datum that each row is of, ``(R,)``, of so many ``data``.
    """

    values: Array
    owner: NDArray[np.int64]
    data: int

    def per_datum(self, log_prob: Array) -> Array:
        """The sum of the log densities of each datum's rows, ``(N,)``."""
        return np.bincount(self.owner, weights=log_prob, minlength=self.data).astype(float)


def rows_of(data: Data, name: str, dtype: type[np.floating[Any]]) -> Rows:
    """The rows of a split; training data that are drawn anew at each visit are those of one visit."""
    split = data.splits[name]
    values = events(data, split)
    if name == "train" and data.visit is not None:
        values = data.visit(values, Stream.seeded(0, "baselines", "visit", dtype=values.dtype))
    owner = lasting(split.values).nonzero()[:, 0] if data.sequence else torch.arange(len(split))
    return Rows(values.flatten(1).numpy().astype(dtype, copy=False), owner.numpy(), len(split))


def thinned(values: Array, most: int) -> Array:
    """At most so many rows, evenly spaced over all.

    >>> thinned(np.arange(10.0)[:, None], 4)[:, 0]
    array([0., 3., 6., 9.])
    """
    rows: Array = values[np.linspace(0, len(values) - 1, min(most, len(values))).astype(int)]
    return rows
