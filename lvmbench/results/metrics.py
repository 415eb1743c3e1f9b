"""Figures: what the columns of a board are called, which of them it shows, and which one ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lvmbench.combinations.combination import SETTINGS
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS
from lvmbench.results.tables import asked
from lvmbench.suites.claims import fits
from lvmbench.suites.schema import NOTHING

COSTS = {
    "train_seconds": ("Training time", "seconds", "lower", "time that training took", "train_seconds"),
    "parameters": ("Parameters", "parameters", "neither", "numbers that training can change", ""),
}
"""What records hold: title, unit, which direction is better, meaning, and the figure that boards show."""
_SAID: dict[str, Any] = {"title": "", "meaning": "", "shown": "", "place": np.inf}
_WORDS = ("metric", "variant", "method", "evaluator", "asked_by", "unit", "better", *_SAID)


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
    for name, value in _SAID.items():
        long[name] = long[name].fillna(value) if name in long else value
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
    title, unit, better, meaning, shown = COSTS[name]
    known = ok.loc[ok[name].notna(), ["key", name]].rename(columns={name: "value"})
    words = {"metric": name, "variant": "", "method": "", "evaluator": "", "asked_by": "suite"}
    said = {"title": title, "unit": unit, "better": better, "meaning": meaning, "shown": shown}
    return known.assign(**words, **said, place=np.inf).astype({"value": "float64"})


def _figures(long: pd.DataFrame) -> pd.Index[str]:
    """Name each measurement; where several evaluators give the same figure, each is told by its evaluator.

    An evaluator that was added to the suite's own names none of theirs anew.
    """
    words = ["metric", "variant", "method", "evaluator", "asked_by"]
    names = long[words].drop_duplicates()  # of a million measurements few are different figures
    names["name"] = [figure_name(*w) for w in names[words[:3]].itertuples(index=False)]
    pairs = names[["name", "evaluator", "asked_by"]].drop_duplicates()
    own = pairs[pairs["asked_by"] == "suite"]
    shared = {
        "suite": set(own.loc[own["name"].duplicated(), "name"]),
        "evaluate": set(pairs.loc[pairs["name"].duplicated(), "name"]),
    }
    rows = zip(names["name"], names["evaluator"], names["asked_by"], strict=True)
    called = [f"{name}@{evaluator}" if name in shared[by] else name for name, evaluator, by in rows]
    places = long.groupby(words, sort=False, dropna=False).ngroup().to_numpy()
    return pd.Index(called, dtype="str").take(places)


def figure_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """The figures of a tidy frame in order of appearance, by name: what their measurements say of them, and
    what evaluators say, where that is known; else their title is the name of the metric, in words.
    """
    figures = measurements.drop_duplicates("figure").set_index("figure")[list(_WORDS)]
    words = figures["metric"].str.replace("_", " ").str.capitalize()
    return figures.assign(title=figures["title"].where(figures["title"] != "", words))


def find_figure(name: str, figures: pd.DataFrame) -> str:
    """Find a figure by its name, with or without its evaluator, or by its metric or its title alone.

    Raises `UserError` where there is none.

    Of several, that is the suite's own before what was added to it, then the one that boards show, the one by
    importance sampling, the first.

    >>> words = {"metric": "nmi", "title": "NMI", "evaluator": "clustering", "asked_by": "suite"}
    >>> names = {"method": ["gmm", "kmeans"], "shown": "nmi[kmeans]"}
    >>> figures = pd.DataFrame({**names, **words}, index=["nmi[gmm]", "nmi[kmeans]"])
    >>> find_figure("nmi", figures), find_figure("nmi[gmm]@clustering", figures)
    ('nmi[kmeans]', 'nmi[gmm]')
    """
    own = _like(name, figures)
    if own.empty:
        known = {*figures.index, *figures["metric"]}
        raise UserError(f"no metric '{name}' was measured{nearest(name, known)}")
    return _preferred(own, name)


def _like(name: str, figures: pd.DataFrame) -> pd.DataFrame:
    """The figures that may be meant by a name."""
    bare, title = _bare(figures), figures["title"].str.lower() == name.lower()
    full = bare + "@" + figures["evaluator"]
    return figures[
        (figures.index == name) | (bare == name) | (full == name) | (figures["metric"] == name) | title
    ]


def _bare(figures: pd.DataFrame) -> pd.Index[str]:
    """The names of figures without their evaluators."""
    return figures.index.str.partition("@").get_level_values(0)


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

    def order(row: tuple[str, str, str, str, str]) -> tuple[bool, ...]:
        name, bare, method, shown, by = row
        return by != "suite", name != asked, bare != shown, not shown, method != "importance"

    columns = (figures[name] for name in ("method", "shown", "asked_by"))
    return str(min(zip(map(str, figures.index), _bare(figures), *columns, strict=True), key=order)[0])


def default_metric(figures: pd.DataFrame) -> str | None:
    """What a board ranks by: the first figure with a direction that the suite's first evaluator shows.

    Where it gave none, that of the next one. So an evaluator that comes after the others changes nothing.
    """
    own = figures[(figures["asked_by"] == "suite") & figures["better"].isin(["higher", "lower"])]
    return next(iter(usual(own)), None)


def ranking(metric: str | None, figures: pd.DataFrame) -> str | None:
    """The figure that ranks where this metric is asked for; raises as `find_figure` does."""
    if metric == NOTHING or figures.empty:
        return None
    return default_metric(figures) if metric is None else find_figure(metric, figures)


def headline(figures: pd.DataFrame, metric: str | None, board: Sequence[str] | None = None) -> list[str]:
    """The figures that a printed table shows: what ranks, what was added to the suite's evaluators,
    and what the suite names, or else what its evaluators show.
    """
    own = figures[figures["asked_by"] == "suite"]
    found = [find_figure(name, figures) for name in board or () if not missing([name], figures)]
    shown = usual(own) if board is None else found
    return list(dict.fromkeys([*([metric] if metric else []), *_added(figures), *shown]))


def missing(names: Sequence[str], figures: pd.DataFrame) -> list[str]:
    """Those of some names that no figure has."""
    return [name for name in names if _like(name, figures).empty]


def usual(figures: pd.DataFrame) -> list[str]:
    """The figures that evaluators show unless they are told otherwise, one of each metric,
    evaluator by evaluator; the first with a direction, or else the first, of one that says nothing.
    """
    found: dict[str, str] = {}
    for head, own in figures.groupby(figures["evaluator"].map(_head), sort=False):
        for name in _shown_by(str(head), own):
            found.setdefault(str(own.loc[name, "metric"]), name)
    return list(found.values())


def _shown_by(evaluator: str, own: pd.DataFrame) -> list[str]:
    """The figures that an evaluator shows, one of each metric."""
    shown = own[own["shown"] != ""].sort_values("place", kind="stable")
    if shown.empty and evaluator:
        return [str(own.index[int((own["better"] != "neither").to_numpy().argmax())])]
    return [_preferred(rows) for _, rows in shown.groupby("metric", sort=False)]


def _added(figures: pd.DataFrame) -> Iterator[str]:
    """One figure for each metric of an evaluator that was added to the suite's."""
    added = figures[figures["asked_by"] == "evaluate"]
    return (_preferred(own) for _, own in added.groupby(["evaluator", "metric"], sort=False))


def _head(evaluator: str) -> str:
    """The name of an evaluator without its options."""
    return evaluator.partition("[")[0]
