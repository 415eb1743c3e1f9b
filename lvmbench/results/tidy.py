"""The figures of runs: from measurements, which describe each figure anew, to values and what they are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lvmbench.combinations.combination import SETTINGS
from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.results.figures import COSTS, Figure, Figures, figure_name, find_figure
from lvmbench.results.tables import asked
from lvmbench.suites.claims import fits

Places = npt.NDArray[np.int64]
_NUMBERS = ["key", "value", "stderr"]
_WORDS = [word.name for word in fields(Figure) if word.name != "name"]
_TELLING = ["metric", "variant", "method", "evaluator", "asked_by"]
"""What tells figures apart."""


@dataclass(frozen=True, eq=False)
class Tidy:
    """The figures of runs.

    Arguments:
        rows: One row per figure of a run: ``key, value, stderr`` and ``figure``, its place among the figures.
        figures: What was measured.
    """

    rows: pd.DataFrame
    figures: Figures

    def find(self, name: str) -> str | None:
        """The figure that a board would rank by if it were asked for a name; none where there is none."""
        try:
            return find_figure(name, self.figures)
        except UserError:
            return None

    def of(self, name: str) -> pd.DataFrame:
        """The rows of that figure."""
        found = self.find(name)
        place = -1 if found is None else list(self.figures).index(found)
        return self.rows[self.rows["figure"] == place]

    def wide(self, keys: pd.Series[str]) -> pd.DataFrame:
        """One column per figure, and a row for each of some runs, indexed as their keys are.

        Raises `UserError` where a run has a figure twice.
        """
        place, runs = pd.factorize(keys)
        run, figure = pd.Index(runs).get_indexer(self.rows["key"]), self.rows["figure"].to_numpy()
        twice = pd.Series(run * len(self.figures) + figure).duplicated().to_numpy()
        if twice.any():
            name = list(self.figures)[int(figure[twice][0])]
            raise UserError(f"measurements.csv has '{name}' twice for the same run")
        values = np.full((len(runs), len(self.figures)), np.nan)
        values[run, figure] = self.rows["value"]
        return pd.DataFrame(values[place], keys.index, list(self.figures))


def tidy(records: pd.DataFrame, measurements: pd.DataFrame, split: str = "test") -> Tidy:
    """The figures of the ok runs, with the costs that records hold.

    Left out are measurements of other splits, not those that belong to none (an empty split), and what nobody
    asks for.
    """
    ok = asked(records[records["status"] == "ok"])
    long = asked(measurements[measurements.columns.intersection([*_NUMBERS, *_WORDS, "split"])])
    long = long[
        long["key"].isin(ok["key"])
        & long["split"].fillna("").isin([split, ""])
        & np.isfinite(long["value"].astype(float))
    ]
    group, described = _described(long)
    measured = {figure.metric for figure in described if figure.asked_by == "suite"}
    costs = {name: ok[ok[name].notna()] for name in COSTS if name in ok and name not in measured}
    costs = {name: runs for name, runs in costs.items() if len(runs)}
    counts = [len(runs) for runs in costs.values()]
    group = np.concatenate([group, len(described) + np.repeat(np.arange(len(costs)), counts)])
    rows = pd.concat(
        [long[_NUMBERS], *(_cost(runs, name) for name, runs in costs.items())], ignore_index=True
    )
    figures = [*described, *(COSTS[name] for name in costs)]
    return _named(rows, group, figures)


def _described(long: pd.DataFrame) -> tuple[Places, list[Figure]]:
    """Which of some figures each row is of, and these: of a million measurements few differ in it."""
    telling, words = ([word for word in some if word in long] for some in (_TELLING, _WORDS))
    group = np.asarray(long.groupby(telling, sort=False, dropna=False).ngroup(), dtype=np.int64)
    first = long.iloc[pd.Series(group).drop_duplicates().index]
    return group, [_figure(said) for said in first[words].to_dict("records")]


def _figure(said: Mapping[Any, Any]) -> Figure:
    """A figure by what is said of it, its title its metric in words where nothing says what that is."""
    known = {word: value for word, value in said.items() if not pd.isna(value)}
    title = known.get("title") or known["metric"].replace("_", " ").capitalize()
    return Figure("", **{**known, "title": title})


def _cost(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    return pd.DataFrame({"key": runs["key"], "value": runs[name].astype(float), "stderr": np.nan})


def _named(rows: pd.DataFrame, group: Places, figures: Sequence[Figure]) -> Tidy:
    """Rows with the figure that each is of, of some that may not have a name yet."""
    names = _names(figures)
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    of_group = np.array([places[name] for name in names], dtype=int)
    named = {name: replace(figures[names.index(name)], name=name) for name in places}
    return Tidy(rows.assign(figure=of_group[group]), named)


def _names(figures: Sequence[Figure]) -> list[str]:
    """What figures are called; where several evaluators give the same, each is told by its evaluator.

    An evaluator that was added to the suite's own names none of theirs anew.
    """
    names = [figure_name(it.metric, it.variant, it.method) for it in figures]
    pairs = dict.fromkeys((name, it.evaluator, it.asked_by) for name, it in zip(names, figures, strict=True))
    shared = {
        "suite": Counter(name for name, _, by in pairs if by == "suite"),
        "evaluate": Counter(name for name, *_ in pairs),
    }
    return [
        f"{name}@{it.evaluator}" if shared[it.asked_by][name] > 1 else name
        for name, it in zip(names, figures, strict=True)
    ]


def named_figures(records: pd.DataFrame, measurements: pd.DataFrame) -> Tidy:
    """The figures of the ok runs, each with what names its run: components, settings and seed."""
    names = [name for name in (*PARTS, *SETTINGS, "seed") if name in records]
    found = tidy(records, measurements)
    return replace(found, rows=found.rows.merge(records[["key", *names]], on="key"))


def rows_like(rows: pd.DataFrame, pattern: Mapping[Any, str | float]) -> pd.DataFrame:
    """The rows of the combinations of a pattern, in a frame that has what names them."""
    for name, wanted in pattern.items():
        values = rows[name] if name in rows else pd.Series(None, index=rows.index, dtype=object)
        rows = rows[values.map(lambda value, wanted=wanted: fits(value, wanted)).astype(bool)]
    return rows
