"""The long table of measurements, put together from runs and from what a database holds of each figure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

SORTED = ("evaluator", "split", "metric", "variant", "method")
"""What figures of a run are in the order of."""
DESCRIBED = (*SORTED, "unit", "better")
"""What a measurement says of its figure."""


def long_table(runs: pd.DataFrame, rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """One row per figure, in the order of the runs and then of what is said of it.

    Of a million measurements few are different figures: each description is held once, as each run is, and
    the rows only say which they are of.

    Arguments:
        runs: Their ``key``, and the columns that name them.
        rows: Key, value, standard error or ``None``, and what is `DESCRIBED`; those of other runs are left
            out. Raises `ValueError` for what is no number.
    """
    places = {key: place for place, key in enumerate(runs["key"].tolist())}
    described: dict[tuple[str, ...], int] = {}
    run, figure, value, stderr = array("q"), array("q"), array("d"), array("d")
    for key, number, error, *words in rows:
        if key in places:
            run.append(places[key])
            figure.append(described.setdefault(tuple(words), len(described)))
            value.append(float(number))
            stderr.append(math.nan if error is None else float(error))
    said = pd.DataFrame(list(described), columns=list(DESCRIBED), dtype="str")
    ranks = said.sort_values(list(SORTED)).index.argsort()
    order = np.lexsort((ranks[np.asarray(figure)], np.asarray(run)))
    of_run, of_figure = (
        frame.take(np.asarray(at)[order]).reset_index(drop=True)
        for frame, at in ((runs, run), (said, figure))
    )
    figures = {"value": np.asarray(value)[order], "stderr": np.asarray(stderr)[order]}
    before, after = of_figure[list(SORTED)], of_figure[["unit", "better"]]
    return pd.concat([of_run, before, pd.DataFrame(figures), after], axis=1)
