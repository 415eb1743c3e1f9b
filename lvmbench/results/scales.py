"""What figures are the logarithm of: rows in which that differs are not held against each other."""

from __future__ import annotations

import pandas as pd

from lvmbench.data.published import Measure
from lvmbench.results.figures import Figures

DISCRETE = frozenset({"binary", "one_hot", "finite", "count", "levels"})
"""The supports on which p(x|z) is a probability mass; on any other it is a density."""


def measure_of(support: str) -> Measure:
    """What log p(x|z) is the logarithm of, where values have this support."""
    return "probability mass" if support in DISCRETE else "density"


def scales(runs: pd.DataFrame, figures: Figures, metric: str | None) -> pd.Series[str]:
    """What the ranking metric of each run is the logarithm of,
    where combinations of a data set differ in it; else ``""``.
    """
    parts = []
    if metric and figures[metric].metric == "bound":
        parts.append("bound of " + runs["objective"].astype(str))
    if metric and figures[metric].unit.startswith(("nats", "bits")) and "support" in runs:
        parts.append(runs["support"].map(measure_of))
    scale = pd.Series([", ".join(row) for row in zip(*parts, strict=True)] if parts else "", index=runs.index)
    measured = (runs["status"] == "ok").groupby([runs["dataset"], runs["label"]]).transform("any")
    scale = scale.where(measured, "")
    several = scale.where(measured).groupby(runs["dataset"]).transform("nunique") > 1
    return scale.where(several, "")
