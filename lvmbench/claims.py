"""Claims: what a suite is run to find out, held against its measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from lvmbench.leaderboard import COMPONENTS, tidy
from lvmbench.names import matches
from lvmbench.options import NonNegative
from lvmbench.statistics import paired_difference

Pattern = dict[Literal["dataset", "prior", "posterior", "decoder", "objective", "estimator", "metric"], str]
"""Which combinations: each component as tables show it, ``*`` for anything; ``metric`` for another figure than the claim's."""
HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "cannot be called", "not measured"
COLUMNS = ["claim", "source", "figure", "value", "low", "high", "n", "verdict"]


class Claim(BaseModel):
    """A statement about the figures of a suite.

    Either an order, that ``metric`` is larger in the combinations of ``higher`` than in those of ``lower``: paired over seeds, it
    holds where the 95% interval of the difference is above 0. Or an agreement, that in every run ``of`` these combinations
    ``metric`` equals a number or another figure, ``within`` a distance, so many standard ``errors`` or ``percent`` of it; with
    ``at_most``, it may be below by any amount, with ``at_least`` above.

    >>> Claim(claim="tighter", metric="bound", higher={"objective": "iwae"}, lower={"objective": "elbo"}).kind
    'order'
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    claim: str
    source: str = ""
    metric: str
    higher: Pattern | None = None
    lower: Pattern | None = None
    of: Pattern = {}
    equals: Annotated[float | str | None, Field(union_mode="left_to_right")] = None
    within: NonNegative | None = None
    errors: NonNegative | None = None
    percent: NonNegative | None = None
    at_most: bool = False
    at_least: bool = False

    @model_validator(mode="after")
    def _is_one_kind(self) -> Claim:
        order = self.higher is not None and self.lower is not None
        given = 3 - [self.within, self.errors, self.percent].count(None)
        if order == (self.equals is not None) or given != (0 if order else 1):
            raise ValueError(
                "gives either higher and lower, or equals with one of within, errors and percent (how far off is allowed)"
            )
        if self.at_most + self.at_least > (0 if order else 1):
            raise ValueError("takes one of at_most and at_least, beside equals")
        return self

    @property
    def kind(self) -> str:
        """``order`` or ``agreement``."""
        return "order" if self.equals is None else "agreement"


def judge(
    written: Sequence[Mapping[str, Any]], records: pd.DataFrame, measurements: pd.DataFrame
) -> pd.DataFrame:
    """One row per claim: the difference that was found, its 95% interval over seeds or its extremes over runs, and the verdict."""
    claims = TypeAdapter(list[Claim]).validate_python(list(written))
    names = [*COMPONENTS, "seed"]  # which the costs among the figures lack
    figures = tidy(records, measurements).drop(columns=names, errors="ignore")
    long = figures.merge(records[["key", *names]], on="key")
    rows = [(_order if claim.kind == "order" else _agreement)(claim, long) for claim in claims]
    named = [
        {"claim": c.claim, "source": c.source, "figure": c.metric, **r}
        for c, r in zip(claims, rows, strict=True)
    ]
    return pd.DataFrame(named, columns=COLUMNS)


def _order(claim: Claim, long: pd.DataFrame) -> dict[str, Any]:
    sides = [_select(claim, pattern or {}, long) for pattern in (claim.higher, claim.lower)]
    if any(side.empty for side in sides):
        return _row(None, None, None, 0, MISSING)
    # a run that a pattern covers several of counts with the mean of them, so that seeds stay paired
    higher, lower = (side.groupby("seed")["value"].mean() for side in sides)
    found = paired_difference(higher, lower)
    if found.low is None or found.high is None:
        return _row(found.difference, None, None, found.n, OPEN)
    verdict = HOLDS if found.low > 0 else FAILS if found.high < 0 else OPEN
    return _row(found.difference, found.low, found.high, found.n, verdict)


def _agreement(claim: Claim, long: pd.DataFrame) -> dict[str, Any]:
    found = _held_against(claim, _select(claim, claim.of, long), long)
    if found.empty:
        return _row(None, None, None, 0, MISSING)
    off = found["value"] - found["due"]
    beyond = off if claim.at_most else -off if claim.at_least else off.abs()
    verdict = HOLDS if bool((beyond <= _limit(claim, found)).all()) else FAILS
    return _row(float(off.mean()), float(off.min()), float(off.max()), len(off), verdict)


def _limit(claim: Claim, found: pd.DataFrame) -> pd.Series[float] | float:
    """How far off each run may be."""
    if claim.errors is not None:
        return claim.errors * found["error"]
    return found["due"].abs() * claim.percent / 100 if claim.percent is not None else claim.within or 0.0


def _held_against(claim: Claim, found: pd.DataFrame, long: pd.DataFrame) -> pd.DataFrame:
    """The ``value`` of each run, what is ``due``, and the Monte Carlo ``error`` of their difference.

    Where a claim is in errors, runs whose error is not known cannot be judged.
    """
    found = found[["key", "value", "stderr"]].astype({"stderr": "float64"})
    if isinstance(claim.equals, str):
        other = _figure(long, claim.equals)[["key", "value", "stderr"]].rename(
            columns={"value": "due", "stderr": "other"}
        )
        found = found.merge(other.astype({"other": "float64"}), on="key")
    else:
        found = found.assign(due=float(claim.equals or 0.0), other=0.0)
    found = found.assign(error=np.hypot(found["stderr"], found["other"]))
    return found if claim.errors is None else found.dropna(subset=["error"])


def _select(claim: Claim, pattern: Mapping[Any, str], long: pd.DataFrame) -> pd.DataFrame:
    rows = _figure(long, pattern.get("metric", claim.metric))
    for kind, text in pattern.items():
        if kind != "metric":
            rows = rows[rows[kind].map(lambda name, text=text: matches(str(name), text)).astype(bool)]
    return rows


def _figure(long: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one figure, named as in tables, with or without the evaluator that several share it with."""
    return long[(long["figure"] == name) | (long["figure"] == name + "@" + long["evaluator"])]


def _row(value: float | None, low: float | None, high: float | None, n: int, verdict: str) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "verdict": verdict}
