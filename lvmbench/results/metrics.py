"""Figures: what the columns of a board are called, which of them it shows, and which one ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lvmbench.combinations.combination import SETTINGS
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS
from lvmbench.results.tables import asked
from lvmbench.suites.claims import fits
from lvmbench.suites.schema import NOTHING

HEADLINE = (
    "elbo",
    "log_likelihood",
    "gradient_variance_ratio[score/pathwise]",
    "nmi[kmeans]",
    "gap",
    "probe_accuracy[linear]",
    "active_units",
    "bound",
    "ari[kmeans]",
    "cluster_accuracy[kmeans]",
    "train_seconds",
)
"""The figures that printed tables show, where they were measured; the csv file has all."""
COSTS = {"train_seconds": ("seconds", "lower"), "parameters": ("", "neither")}


def figure_name(metric: str, variant: str = "", method: str = "") -> str:
    """The column name of a measurement.

    >>> figure_name("elbo"), figure_name("log_likelihood", method="exact"), figure_name("gap", "train", "ais")
    ('elbo', 'log_likelihood[exact]', 'gap[train,ais]')
    """
    inner = ",".join(part for part in (variant, method) if part)
    return f"{metric}[{inner}]" if inner else metric


def tidy(records: pd.DataFrame, measurements: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """The figures of the ok runs: long, with a ``figure`` column, and with the costs that records hold.

    Left out are measurements of other splits, not those that belong to none (an empty split), and what nobody
    asks for.
    """
    ok = asked(records[records["status"] == "ok"])
    long = asked(measurements.fillna({"variant": "", "method": "", "split": "", "unit": ""}))
    long = long[
        long["key"].isin(ok["key"])
        & long["split"].isin([split, ""])
        & np.isfinite(long["value"].astype(float))
    ]
    long = long if "asked_by" in long else long.assign(asked_by="suite")
    measured = set(long.loc[long["asked_by"] == "suite", "metric"])
    costs = [_cost(ok, name) for name in COSTS if name in ok and name not in measured]
    long = pd.concat([long, *costs], ignore_index=True) if costs else long
    return long.assign(figure=_figures(long))


def named_figures(records: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """The figures of the ok runs, each with what names its run: components, settings and seed."""
    # which the costs among the figures lack
    names = [name for name in (*PARTS, *SETTINGS, "seed") if name in records]
    figures = tidy(records, measurements).drop(columns=names, errors="ignore")
    return figures.merge(records[["key", *names]], on="key")


def rows_like(rows: pd.DataFrame, pattern: Mapping[Any, str | float]) -> pd.DataFrame:
    """The rows of the combinations of a pattern, in a frame that has what names them."""
    for name, wanted in pattern.items():
        values = rows[name] if name in rows else pd.Series(None, index=rows.index, dtype=object)
        rows = rows[values.map(lambda value, wanted=wanted: fits(value, wanted)).astype(bool)]
    return rows


def _cost(ok: pd.DataFrame, name: str) -> pd.DataFrame:
    unit, better = COSTS[name]
    known = ok.loc[ok[name].notna(), ["key", name]].rename(columns={name: "value"})
    words = {"metric": name, "variant": "", "method": "", "evaluator": "", "unit": unit, "better": better}
    words["asked_by"] = "suite"
    return known.assign(**words).astype({"value": "float64"})


def _figures(long: pd.DataFrame) -> list[str]:
    """Name each measurement; where several evaluators give the same figure, each is told by its evaluator.

    An evaluator that was added to the suite's own names none of theirs anew.
    """
    words = zip(long["metric"], long["variant"], long["method"], strict=True)
    names = long.assign(name=[figure_name(*w) for w in words])
    pairs = names[["name", "evaluator", "asked_by"]].drop_duplicates()
    own = pairs[pairs["asked_by"] == "suite"]
    shared = {
        "suite": set(own.loc[own["name"].duplicated(), "name"]),
        "evaluate": set(pairs.loc[pairs["name"].duplicated(), "name"]),
    }
    rows = zip(names["name"], names["evaluator"], names["asked_by"], strict=True)
    return [f"{name}@{evaluator}" if name in shared[by] else name for name, evaluator, by in rows]


def figure_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """The figures of a tidy frame in order of appearance, by name: what their measurements say of them."""
    columns = ["metric", "variant", "method", "evaluator", "asked_by", "unit", "better"]
    return measurements.drop_duplicates("figure").set_index("figure")[columns]


def find_figure(name: str, figures: pd.DataFrame) -> str:
    """Find a figure by its name, with or without its evaluator, or by its metric alone.

    Raises `UserError` where there is none.

    Of several, that is the suite's own before what was added to it, then the one of `HEADLINE`, the one by
    importance sampling, the first.

    >>> names = ["nmi[gmm]", "nmi[kmeans]"]
    >>> same = {"metric": "nmi", "evaluator": "clustering", "asked_by": "suite"}
    >>> figures = pd.DataFrame({"method": ["gmm", "kmeans"], **same}, index=names)
    >>> find_figure("nmi", figures), find_figure("nmi[gmm]@clustering", figures)
    ('nmi[kmeans]', 'nmi[gmm]')
    """
    bare = figures.index.str.partition("@").get_level_values(0)
    full = bare + "@" + figures["evaluator"]
    own = figures[(figures.index == name) | (bare == name) | (figures["metric"] == name) | (full == name)]
    if own.empty:
        raise UserError(
            f"no metric '{name}' was measured{nearest(name, {*figures.index, *figures['metric']})}"
        )
    return _preferred(own, name)


def found_figure(name: str, long: pd.DataFrame) -> str | None:
    """The figure that a board would rank by if it were asked for a name; none where a tidy frame has none."""
    try:
        return find_figure(name, figure_table(long))
    except UserError:
        return None


def _preferred(figures: pd.DataFrame, asked: str = "") -> str:
    """The suite's own before what was added, then what is asked for by its name,
    and so on as `find_figure` says.
    """

    def order(row: tuple[str, str, str]) -> tuple[bool, ...]:
        name, method, by = row
        return by != "suite", name != asked, name.partition("@")[0] not in HEADLINE, method != "importance"

    rows = zip(map(str, figures.index), figures["method"], figures["asked_by"], strict=True)
    return min(rows, key=order)[0]


def default_metric(figures: pd.DataFrame) -> str | None:
    """What a board ranks by: the suite's ELBO, else its first figure with a direction, else nothing."""
    own = figures[figures["asked_by"] == "suite"]
    if (own["metric"] == "elbo").any():
        return find_figure("elbo", own)
    directed = own.index[own["better"].isin(["higher", "lower"])]
    return str(directed[0]) if len(directed) else None


def ranking(metric: str | None, figures: pd.DataFrame) -> str | None:
    """The figure that ranks where this metric is asked for; raises as `find_figure` does."""
    if metric == NOTHING or figures.empty:
        return None
    return default_metric(figures) if metric in (None, "elbo") else find_figure(str(metric), figures)


def headline(figures: pd.DataFrame, metric: str | None) -> list[str]:
    """The figures that a printed table shows:
    what ranks, what was added to the suite's evaluators, `HEADLINE`, and one of each evaluator that has none
    of these.
    """
    own = figures[figures["asked_by"] == "suite"]
    usual = [name for wanted in HEADLINE for name in _headline(wanted, own)]
    others = list(_unseen(own, {_head(str(own.loc[name, "evaluator"])) for name in usual}))
    return list(dict.fromkeys([*([metric] if metric else []), *_added(figures), *usual, *others]))


def _headline(wanted: str, figures: pd.DataFrame) -> list[str]:
    if (figures["metric"] == wanted).any():
        return [find_figure(wanted, figures)]
    return [str(name) for name in figures.index if str(name).startswith(wanted.removesuffix("]"))][:1]


def _added(figures: pd.DataFrame) -> Iterator[str]:
    """One figure for each metric of an evaluator that was added to the suite's."""
    added = figures[figures["asked_by"] == "evaluate"]
    return (_preferred(own) for _, own in added.groupby(["evaluator", "metric"], sort=False))


def _unseen(figures: pd.DataFrame, seen: set[str]) -> Iterator[str]:
    """The first figure with a direction, or else the first, of each evaluator that is not seen."""
    for evaluator, own in figures.groupby(figures["evaluator"].map(_head), sort=False):
        if evaluator not in {"", *seen}:
            yield str(own.index[int((own["better"] != "neither").to_numpy().argmax())])


def _head(evaluator: str) -> str:
    """The name of an evaluator without its options."""
    return evaluator.partition("[")[0]
