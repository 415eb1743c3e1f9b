"""Verdicts: the claims of a suite, held against its measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from lvmbench.errors import nearest
from lvmbench.results.comparison import Comparison, paired_difference, seeds_to_call
from lvmbench.results.statistics import together
from lvmbench.results.tidy import Tidy, named_figures, rows_like
from lvmbench.suites.claims import Claim

HOLDS, FAILS, UNDECIDED, MISSING = "holds", "does not hold", "inconclusive", "not measured"
COLUMNS = ["claim", "source", "figure", "value", "low", "high", "n", "verdict"]


def judge(
    written: Sequence[Mapping[str, Any]], records: pd.DataFrame, measurements: pd.DataFrame
) -> pd.DataFrame:
    """One row per claim: the difference that was found, its 95% interval over seeds
    or its extremes over runs, and the verdict.
    """
    claims = TypeAdapter(list[Claim]).validate_python(list(written))
    if not claims:
        return pd.DataFrame(columns=COLUMNS)
    measured = named_figures(records, measurements)
    rows = [(_order if claim.kind == "order" else _agreement)(claim, measured) for claim in claims]
    named = [
        {"claim": c.claim, "source": c.source, "figure": measured.find(c.metric) or c.metric, **r}
        for c, r in zip(claims, rows, strict=True)
    ]
    return pd.DataFrame(named, columns=COLUMNS)


def _missing(claim: Claim, measured: Tidy) -> dict[str, Any]:
    """The row of a claim that cannot be judged, with the figures that are nearest
    to one that there is not.
    """
    absent = [name for name in claim.figures if measured.find(name) is None]
    hint = f": no '{absent[0]}'{nearest(absent[0], measured.figures)}" if absent else ""
    return _row(None, None, None, 0, MISSING + hint)


def _order(claim: Claim, measured: Tidy) -> dict[str, Any]:
    sides = [_select(claim, pattern or {}, measured) for pattern in (claim.higher, claim.lower)]
    if any(side.empty for side in sides):
        return _missing(claim, measured)
    # a run that a pattern covers several of counts with the mean of them, so that seeds stay paired
    higher, lower = (side.groupby("seed")["value"].mean() for side in sides)
    compared = paired_difference(higher, lower)
    return _row(compared.difference, compared.low, compared.high, compared.n, _called(compared))


def _called(compared: Comparison) -> str:
    """What a difference says of an order; where it says nothing, how many seeds would."""
    if compared.low is not None and compared.low > 0:
        return HOLDS
    if compared.high is not None and compared.high < 0:
        return FAILS
    needed = seeds_to_call(compared)
    return f"{UNDECIDED} (needs about {needed} seeds)" if needed else f"{UNDECIDED} (needs more seeds)"


def _agreement(claim: Claim, measured: Tidy) -> dict[str, Any]:
    runs = _held_against(claim, _select(claim, claim.of, measured), measured)
    if runs.empty:
        return _missing(claim, measured)
    off = runs["value"] - runs["due"]
    beyond = off if claim.at_most else -off if claim.at_least else off.abs()
    verdict = HOLDS if bool((beyond <= _limit(claim, runs)).all()) else FAILS
    return _row(float(off.mean()), float(off.min()), float(off.max()), len(off), verdict)


def _limit(claim: Claim, runs: pd.DataFrame) -> pd.Series[float] | float:
    """How far off each run may be; the more runs, the more errors, as any one fails them all."""
    if claim.errors is not None:
        return together(claim.errors, len(runs)) * runs["error"]
    return runs["due"].abs() * claim.percent / 100 if claim.percent is not None else claim.within or 0.0


def _held_against(claim: Claim, runs: pd.DataFrame, measured: Tidy) -> pd.DataFrame:
    """The ``value`` of each run, what is ``due``, and the Monte Carlo ``error`` of their difference.

    Where a claim is in errors, runs whose error is not known cannot be judged.
    """
    runs = runs[["key", "value", "stderr"]].astype({"stderr": "float64"})
    if isinstance(claim.equals, str):
        other = measured.of(claim.equals)[["key", "value", "stderr"]].rename(
            columns={"value": "due", "stderr": "other"}
        )
        runs = runs.merge(other.astype({"other": "float64"}), on="key")
    else:
        runs = runs.assign(due=float(claim.equals or 0.0), other=0.0)
    runs = runs.assign(error=np.hypot(runs["stderr"], runs["other"]))
    return runs if claim.errors is None else runs.dropna(subset=["error"])


def _select(claim: Claim, pattern: Mapping[Any, Any], measured: Tidy) -> pd.DataFrame:
    rows = measured.of(pattern.get("metric", claim.metric))
    return rows_like(rows, {name: wanted for name, wanted in pattern.items() if name != "metric"})


def _row(value: float | None, low: float | None, high: float | None, n: int, verdict: str) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "verdict": verdict}
