"""Published figures beside a suite's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from lvmbench.errors import nearest
from lvmbench.kinds import PARTS
from lvmbench.results.labels import identity, labels
from lvmbench.results.statistics import half_width
from lvmbench.results.tables import asked
from lvmbench.results.tidy import Tidy, named_figures, rows_like
from lvmbench.suites.references import Reference

NO_RUN, NOT_MEASURED = "no run", "not measured"
COLUMNS = (
    "combination",
    "figure",
    "ours",
    "low",
    "high",
    "seeds",
    "published",
    "difference",
    "source",
    "note",
    "status",
    "reason",
)


def compare(
    written: Sequence[Mapping[str, Any]], records: pd.DataFrame, measurements: pd.DataFrame
) -> pd.DataFrame:
    """One row per published figure and combination that it is of.

    Our mean over seeds with its 95% t interval, what was published, and ours less that; without ours, why.

    Arguments:
        written: The references, as the suite has them.
        records: One row per run.
        measurements: Long, one row per figure of a run.
    """
    references = TypeAdapter(list[Reference]).validate_python(list(written))
    if not references:
        return pd.DataFrame(columns=list(COLUMNS))
    records = asked(records)
    runs = records.assign(label=labels(records, _telling(records)))
    measured = named_figures(records, measurements)
    rows = [row for reference in references for row in _rows(reference, runs, measured)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _telling(records: pd.DataFrame) -> list[str]:
    """The columns that tell the combinations of a suite apart, the data set among them."""
    names = [name for name in identity(records) if records[name].nunique(dropna=False) > 1]
    return names or list(PARTS)


def _rows(reference: Reference, runs: pd.DataFrame, measured: Tidy) -> Iterator[dict[str, Any]]:
    shared = {
        "figure": measured.find(reference.metric) or reference.metric,
        "published": reference.value,
        "source": reference.source,
        "note": reference.note,
    }
    own = rows_like(runs, reference.of)
    if own.empty:
        yield {**shared, "combination": reference.pattern, "seeds": 0, "status": NO_RUN, "reason": ""}
    for combination, part in own.groupby("label", sort=False):
        yield {**shared, "combination": combination, **_found(reference, part, measured)}


def _found(reference: Reference, runs: pd.DataFrame, measured: Tidy) -> dict[str, Any]:
    """What the runs of one combination gave, or why they gave nothing."""
    rows = measured.of(reference.metric)
    values = rows.loc[rows["key"].isin(runs["key"]), "value"].astype(float)
    if values.empty:
        return {"seeds": 0, **_nothing(reference, runs, measured)}
    mean, width = float(values.mean()), float(half_width(values.std(), len(values)))
    interval = {"low": mean - width, "high": mean + width, "seeds": len(values)}
    return {"ours": mean, **interval, "difference": mean - reference.value, "status": "ok", "reason": ""}


def _nothing(reference: Reference, runs: pd.DataFrame, measured: Tidy) -> dict[str, str]:
    """Why the runs of a combination do not have a figure."""
    if not (runs["status"] == "ok").any():
        reasons = dict.fromkeys(reason for reason in runs["reason"].fillna("") if reason)
        return {"status": ", ".join(runs["status"].unique()), "reason": "; ".join(reasons)}
    hint = nearest(reference.metric, measured.figures)
    return {"status": NOT_MEASURED, "reason": f"no '{reference.metric}'{hint}"}
