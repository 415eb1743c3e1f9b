"""Leaderboards: from records and measurements to one row per combination and data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.errors import UserError, nearest
from lvmbench.results.figures import Figure, Figures, headline, missing, ranking
from lvmbench.results.labels import identity, labels, short_labels, table_name
from lvmbench.results.scales import scales
from lvmbench.results.statistics import detectable_difference, half_width, rank_groups
from lvmbench.results.tables import as_csv, as_json, asked
from lvmbench.results.tidy import Tidy, tidy
from lvmbench.results.titles import titles

if TYPE_CHECKING:
    from pandas.api.typing import DataFrameGroupBy

    from lvmbench.results.effects import Table
    from lvmbench.results.effects_sections import Effects

    Groups = DataFrameGroupBy[Any, Any]

WAY = "way"
"""The column with how far rows have come from the independent marginals to the best that is known."""
_KNOWN = ("support", "improving")
_TABLE = ("dataset", "scale")
_ARROWS = {"higher": " ↑", "lower": " ↓"}


@dataclass(frozen=True)
class Unasked:
    """What results hold and a board does not show: so many runs, and the figures of these evaluators."""

    runs: int
    evaluators: Sequence[str]


@dataclass(frozen=True, eq=False, repr=False)
class Board:
    """A leaderboard: its rows, what ranks them, and what it takes to read them.

    Arguments:
        frame: One row per combination and data set, also of those that gave nothing. Columns ``dataset,
            scale, rank``, the other components, ``seeds`` (how many are ok), ``improving`` (how
            many of these were, when their training ended), ``status, reason, note`` and for each
            figure its mean ``NAME`` and 95% interval ``NAME_low, NAME_high`` over seeds; sorted by
            data set, scale and mean.
        runs: One row per run that somebody asks for, as `run_table` gives it.
        records: One row per run that there is.
        metric: The figure that ranks the rows, if any does.
        instead_of: The metric of the suite, where that was not measured.
        split: The split whose measurements count.
        alpha: The chance of telling apart any combinations of a data set that do not differ.
        names: The columns that tell the combinations of a data set apart.
        figures: Every figure by the name of its column.
        headline: The figures that printed tables show.
        titles: What these are called, as short as tells them apart from one another.
        missing: What the suite's board asks for and was not measured.
        seeds: What ranks rest on: by data set and scale, one row per seed and one column per combination.
        detectable: The difference that the typical pair must have to be told apart, by table, where known.
        unasked: What is kept and not shown.
        claims: What became of each claim of the suite, one row for each, as `judge` gives it.
        references: What others published, beside what the suite found, as `compare` gives it.
        remarks: What to know of the data, by data set.
        baselines: What rows are held against, models of the data and published figures, as `baselines_in`
            gives them.
    """

    frame: pd.DataFrame
    runs: pd.DataFrame
    records: pd.DataFrame
    metric: str | None
    split: str
    alpha: float
    names: Sequence[str]
    figures: Mapping[str, Figure]
    headline: Sequence[str]
    titles: Mapping[str, str]
    missing: Sequence[str]
    seeds: Mapping[tuple[str, str], pd.DataFrame]
    detectable: Mapping[str, float | None]
    unasked: Unasked
    instead_of: str | None = None
    claims: pd.DataFrame = field(default_factory=pd.DataFrame)
    references: pd.DataFrame = field(default_factory=pd.DataFrame)
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    baselines: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def title(self) -> str:
        """The suites whose runs these are."""
        suites = self.records[["suite", "suite_version"]].drop_duplicates().itertuples(index=False)
        return "Leaderboard: " + ", ".join(f"{suite} (version {version})" for suite, version in suites)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs there are of each status, those that are ok first."""
        counts = {str(status): int(n) for status, n in self.records["status"].value_counts().items()}
        return dict(sorted(counts.items(), key=lambda count: (count[0] != "ok", count[0])))

    @cached_property
    def worth(self) -> Effects:
        """What its parts are worth, which is found once for all that say so."""
        from lvmbench.results.effects_sections import Effects

        return Effects(self)

    @cached_property
    def grids(self) -> list[Table]:
        """The tables in which parts were exchanged for others, which is found once for effects and pairs."""
        from lvmbench.results.effects import grids

        return grids(self)

    @cached_property
    def labels(self) -> pd.Series[str]:
        """What the combination of each row is called among those of its runs, by its index."""
        return labels(self.frame, self.names)

    @cached_property
    def row_names(self) -> pd.Series[str]:
        """What each row with a result is called among those of its data set, by its index."""
        measured = self.frame[self.frame["seeds"] > 0]
        return pd.concat([short_labels(part, self.names) for _, part in measured.groupby("dataset")])

    def called(self, figure: str) -> str:
        """What a figure is called in print; a name that is no figure of the board stays as it is."""
        other = self.figures[figure].title if figure in self.figures else figure
        return self.titles.get(figure, other)

    def header(self, figure: str) -> str:
        """What the column of a figure is called, with an arrow to what is better."""
        return self.called(figure) + _ARROWS.get(self.figures[figure].better, "")

    def axis(self, figure: str) -> str:
        """What the axis of a figure is called in a picture: title, unit, split, what is better."""
        it = self.figures[figure]
        better = f"; {it.better} is better" if it.better != "neither" else ""
        unit = f" ({it.unit})" if it.unit else ""
        return f"{self.called(figure)}{unit}, {self.split} split{better}"

    def by(self, figure: str) -> Board:
        """The same with the rows of each table in the order of a figure, the best first; ranks stay.

        Raises `UserError` for a figure that the board does not have.
        """
        name = self._found(figure)
        rising = self.figures[name].better == "lower"
        frame = self.frame.sort_values(name, ascending=rising, kind="stable", na_position="last")
        return replace(self, frame=frame.sort_values(list(_TABLE), kind="stable"))

    def _found(self, figure: str) -> str:
        """A figure by its name, or by its metric or title, of those that are shown before others."""
        if figure in self.figures:
            return figure
        for name in [*self.headline, *self.figures]:
            if figure.lower() in (self.figures[name].metric, self.called(name).lower()):
                return name
        raise UserError(f"--sort {figure}: no such figure is on this board{nearest(figure, self.figures)}")

    def __repr__(self) -> str:
        tables = len(self.frame[list(_TABLE)].drop_duplicates())
        return f"Board({len(self.frame)} rows, {tables} tables, ranked by {self.metric})"

    def _repr_html_(self) -> str:
        from lvmbench.results.html import to_html

        return to_html(self)

    def to_csv(self) -> str:
        """Every figure as csv; the same board gives the same bytes, and floats read back exactly."""
        return as_csv(self.frame)

    def to_json(self) -> str:
        """An array with one object per row; what is missing is null."""
        return as_json(self.frame)


def run_table(records: pd.DataFrame, measured: Tidy) -> pd.DataFrame:
    """One row per run of any status: identity columns, ``key, seed, status, reason, label`` and each figure
    that was measured.

    Runs that nobody asks for are left out. Raises `UserError` where a combination has a seed twice, or a run
    a figure.
    """
    records = asked(records)
    names = identity(records)
    known = [name for name in _KNOWN if name in records]
    runs = records[[*names, "key", "seed", "status", "reason", *known]].fillna({"reason": ""})
    runs = runs.assign(label=labels(runs, names[1:]))
    repeated = runs.duplicated(["dataset", "label", "seed"])
    if repeated.any():
        run = runs[repeated].iloc[0]
        raise UserError(f"records.csv has seed {run.seed} of '{run.label}' on '{run.dataset}' twice")
    return pd.concat([runs, measured.wide(runs["key"])], axis=1)


def seed_values(runs: pd.DataFrame, metric: str) -> dict[str, pd.DataFrame]:
    """The values that a ranking rests on: for each data set, one row per seed and one column per combination.

    Arguments:
        runs: As `run_table` gives it.
        metric: The name of one of its figures.
    """
    parts = {str(dataset): part for dataset, part in runs.groupby("dataset")}
    return {
        dataset: part.pivot(index="seed", columns="label", values=metric) for dataset, part in parts.items()
    }


def leaderboard(
    records: pd.DataFrame,
    measurements: pd.DataFrame,
    metric: str | None = None,
    split: str = "test",
    alpha: float = 0.05,
    columns: Sequence[str] | None = None,
) -> Board:
    """Make the board: one row per combination and data set, also of those that gave nothing.

    Rows are ranked among those of their ``scale``: a log density is not held against the log of a
    probability, nor the ``bound`` of one objective against that of another.

    Arguments:
        records: One row per run, all statuses. Where they have a column ``asked_by``, runs for which it is
            empty are left out; so are such measurements.
        measurements: Long, one row per figure of a run, with what is `told` of them where that is known.
            Those that are ``asked_by`` ``evaluate`` are shown, and rank only where ``metric`` names them.
        metric: What to rank by: a figure (``"log_likelihood[exact]"``), a metric or a title; ``"none"`` ranks
            nothing. By default it is the first figure that the suite's first evaluator shows.
        split: The split whose measurements count.
        alpha: The chance of telling apart any combinations of a data set that do not differ.
        columns: The figures that printed tables show beside the one that ranks, in order; by default those
            that the suite's evaluators show.

    Raises `UserError` where there is no run, the metric was not measured, or a run is there twice.
    """
    wanted = asked(records)
    if wanted.empty:
        raise UserError("there are no runs to make a leaderboard of")
    measured = tidy(records, measurements, split)
    runs, figures = run_table(records, measured), measured.figures
    chosen, names = ranking(metric, figures), identity(wanted)[1:]
    shown = headline(figures, chosen, columns)
    runs = runs.assign(scale=scales(runs, figures, chosen))
    seeds, better = _seeds(runs, chosen), figures[chosen].better if chosen else "neither"
    ordered = list(dict.fromkeys([*shown, *figures]))
    return Board(
        frame=_frame(runs, _ranks(seeds, better, alpha), names, ordered, chosen),
        runs=runs,
        records=records,
        metric=chosen,
        split=split,
        alpha=alpha,
        names=names,
        figures=_entitled(figures),
        headline=shown,
        titles=titles((figures[name] for name in shown), figures.values()),
        missing=missing(columns or (), figures),
        seeds=seeds,
        detectable={table_name(*t): detectable_difference(frame, alpha) for t, frame in seeds.items()},
        unasked=_unasked(records, measurements),
    )


def _entitled(figures: Figures) -> Figures:
    """Every figure, with a title that no other has."""
    called = titles(figures.values(), figures.values())
    return {name: replace(figure, title=called[name]) for name, figure in figures.items()}


def _frame(
    runs: pd.DataFrame, ranks: pd.DataFrame, names: list[str], figures: list[str], metric: str | None
) -> pd.DataFrame:
    """The rows of a board, in one piece with its columns in order."""
    groups = runs.assign(ok=runs["status"] == "ok").groupby([*_TABLE, "label"])
    rows = ranks.join(_statuses(runs, groups)).join(_means(groups[figures])).reset_index(level=list(_TABLE))
    notes = [_note(*row) for row in zip(rows["note"], rows["seeds"], rows["n"], strict=True)]
    rows["note"] = notes if metric else ""
    heads = [*_TABLE, "rank", *names, "seeds", "improving", "status", "reason", "note"]
    ends = [column for name in figures for column in (name, f"{name}_low", f"{name}_high")]
    return rows[heads + ends].reset_index(drop=True).copy()


def _unasked(records: pd.DataFrame, measurements: pd.DataFrame) -> Unasked:
    kept = measurements[~measurements.index.isin(asked(measurements).index)]
    return Unasked(len(records) - len(asked(records)), kept["evaluator"].unique().tolist())


def _seeds(runs: pd.DataFrame, metric: str | None) -> dict[tuple[str, str], pd.DataFrame]:
    """`seed_values` of each table, in the order of the board."""
    runs = runs.assign(value=runs[metric] if metric else np.nan)
    parts = {str(scale): seed_values(part, "value") for scale, part in runs.groupby("scale")}
    values = {(dataset, scale): frame for scale, part in parts.items() for dataset, frame in part.items()}
    return dict(sorted(values.items(), key=lambda item: (item[0][0], not item[0][1], item[0][1])))


def _ranks(seeds: Mapping[tuple[str, str], pd.DataFrame], better: str, alpha: float) -> pd.DataFrame:
    """`rank_groups` of each table, indexed by (dataset, scale, label)."""
    ranks = {table: rank_groups(values, better, alpha) for table, values in seeds.items()}
    return pd.concat(ranks, names=[*_TABLE, "label"]).drop(columns="mean")


def _statuses(runs: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """Components, ok seeds and what is known of them, what became of others, by (dataset, scale, label)."""
    names = [name for name in runs.columns[: runs.columns.get_loc("key")] if name != "dataset"]
    table = groups[names].first()
    table["seeds"] = groups["ok"].sum()
    table["improving"] = groups["improving"].sum(min_count=1) if "improving" in runs else pd.NA
    # not by a function of each group: pandas takes a millisecond for each, of which there may be 100,000
    texts: dict[Any, tuple[list[str], list[str]]] = {name: ([], []) for name in table.index}
    for *name, status, reason in runs[[*_TABLE, "label", "status", "reason"]].itertuples(index=False):
        texts[tuple(name)][0].append(status)
        texts[tuple(name)][1].append(reason)
    table["status"] = [_status(statuses) for statuses, _ in texts.values()]
    table["reason"] = ["; ".join(dict.fromkeys(filter(None, reasons))) for _, reasons in texts.values()]
    return table


def _status(statuses: Sequence[str]) -> str:
    counts = Counter(statuses)
    if len(counts) == 1:
        return statuses[0]
    order = sorted(counts, key=lambda status: (status != "ok", status))
    return ", ".join(f"{counts[status]} {status}" for status in order)


def _means(groups: Groups) -> pd.DataFrame:
    """Mean and interval of each figure, by (dataset, scale, label)."""
    mean, width = groups.mean(), half_width(groups.std(), groups.count())
    low, high = (mean - width).add_suffix("_low"), (mean + width).add_suffix("_high")
    return pd.concat([mean, low, high], axis=1)


def _note(note: str, seeds: int, measured: int) -> str:
    """Add how many seeds gave the ranking metric where not all that are ok did."""
    short = f"measured in {measured} of {seeds} seeds" if measured < seeds else ""
    return "; ".join(part for part in (note, short) if part)
