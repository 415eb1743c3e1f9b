"""Whether labels tell anything apart:
a score against labels that do not is perfect, or nothing, whatever is scored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FEWEST = 2
"""The fewest classes, and the fewest data of a class, that a score of labels can rest on."""


def classes(labels: Array) -> int:
    """How many labels are those of a class: of two data or more.

    One class is found by whatever knows nothing, and where every label is its own, so is each.

    >>> classes(np.array([0, 0, 0])), classes(np.array([0, 1, 2])), classes(np.array([0, 0, 1, 1, 2]))
    (1, 0, 2)
    """
    _, counts = np.unique(labels, return_counts=True)
    return int((counts >= FEWEST).sum())


def told_apart(taught: Array, held: Array) -> bool:
    """Whether labels of training data have something to teach,
    and those of measured data something to tell apart.
    """
    return len(np.unique(taught)) > 1 and classes(held) >= FEWEST
