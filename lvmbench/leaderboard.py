"""Leaderboards: from records and measurements to one row per combination and data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lvmbench.errors import UserError, nearest
from lvmbench.statistics import detectable_difference, half_width, rank_groups

COMPONENTS = ["dataset", "prior", "posterior", "decoder", "objective", "estimator"]
"""The columns that name a combination and its data set."""

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

_WHOLE = [
    "suite_version",
    "latent",
    "seed",
    "epochs",
    "best_epoch",
    "parameters",
    "peak_memory_host",
    "peak_memory_device",
    "pack",
    "epoch",
]
_REAL = ["train_seconds", "value", "stderr", "seconds", "train_bound", "validation_bound"]
_COSTS = {"train_seconds": ("seconds", "lower"), "parameters": ("", "neither")}
_MAY_VARY = ("suite", "suite_version", "latent")


def read_results(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read ``records.csv`` and ``measurements.csv`` back as they were written.

    Text is text (``""`` where empty), counts are ``Int64`` and may be missing, and every float is exactly the
    one written. Raises `UserError` where a file is missing.
    """
    return read_table(directory / "records.csv"), read_table(directory / "measurements.csv")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of a results directory back as it was written."""
    if not path.is_file():
        raise UserError(
            f"'{path.parent}' is not a results directory: it has no {path.name}; make one with lvmbench run"
        )
    frame = pd.read_csv(path, dtype="str", keep_default_na=False)
    for name in frame.columns.intersection(_REAL):  # float() is exact whatever the version of pandas
        frame[name] = [float(text) if text else np.nan for text in frame[name]]
    for name in frame.columns.intersection(_WHOLE):
        frame[name] = pd.array([_whole(text) for text in frame[name]], dtype="Int64")
    return frame


def _whole(text: str) -> int | None:
    """A count, which pandas writes as ``10.0`` where others of its column are missing."""
    return int(text.removesuffix(".0")) if text else None


def figure_name(metric: str, variant: str = "", method: str = "") -> str:
    """The column name of a measurement.

    >>> figure_name("elbo"), figure_name("log_likelihood", method="exact"), figure_name("gap", "train", "ais")
    ('elbo', 'log_likelihood[exact]', 'gap[train,ais]')
    """
    inner = ",".join(part for part in (variant, method) if part)
    return f"{metric}[{inner}]" if inner else metric


def catalogue(measurements: pd.DataFrame) -> pd.DataFrame:
    """The figures of a tidy frame in order of appearance: ``metric, variant, method, unit, better`` by name."""
    columns = ["metric", "variant", "method", "unit", "better"]
    return measurements.drop_duplicates("figure").set_index("figure")[columns]


def resolve(name: str, figures: pd.DataFrame) -> str:
    """Find a figure by its name or by its metric alone; raises `UserError` where there is none.

    A bare metric means the figure without variant and method, else the importance one, else the first.

    >>> names = ["gap[ais]", "gap[importance]"]
    >>> figures = pd.DataFrame({"metric": "gap", "method": ["ais", "importance"]}, index=names)
    >>> resolve("gap", figures), resolve("gap[ais]", figures)
    ('gap[importance]', 'gap[ais]')
    """
    if name in figures.index:
        return name
    own = figures[figures["metric"] == name]
    if own.empty:
        raise UserError(
            f"no metric '{name}' was measured{nearest(name, {*figures.index, *figures['metric']})}"
        )
    return str(own.index[int(own["method"].eq("importance").to_numpy().argmax())])


def default_metric(figures: pd.DataFrame) -> str | None:
    """What a board ranks by: the ELBO, else the first figure with a direction, else nothing."""
    if (figures["metric"] == "elbo").any():
        return resolve("elbo", figures)
    directed = figures.index[figures["better"].isin(["higher", "lower"])]
    return str(directed[0]) if len(directed) else None


def headline(figures: pd.DataFrame, metric: str | None) -> list[str]:
    """The figures that a printed table shows, the ranking metric first."""
    found = [name for wanted in HEADLINE for name in _headline(wanted, figures)]
    return list(dict.fromkeys([metric, *found] if metric else found))


def _headline(wanted: str, figures: pd.DataFrame) -> list[str]:
    if (figures["metric"] == wanted).any():
        return [resolve(wanted, figures)]
    return [str(name) for name in figures.index if str(name).startswith(wanted.removesuffix("]"))][:1]


def tidy(records: pd.DataFrame, measurements: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """The figures of the ok runs: long, with a ``figure`` column, and with the costs that records hold.

    Measurements of other splits are left out; those that belong to none (an empty split) are kept.
    """
    ok = records[records["status"] == "ok"]
    long = measurements.fillna({"variant": "", "method": "", "split": "", "unit": ""})
    long = long[
        long["key"].isin(ok["key"])
        & long["split"].isin([split, ""])
        & np.isfinite(long["value"].astype(float))
    ]
    costs = [_cost(ok, name) for name in _COSTS if name in ok and name not in set(long["metric"])]
    long = pd.concat([long, *costs], ignore_index=True) if costs else long
    return long.assign(figure=_figures(long))


def _cost(ok: pd.DataFrame, name: str) -> pd.DataFrame:
    unit, better = _COSTS[name]
    known = ok.loc[ok[name].notna(), ["key", name]].rename(columns={name: "value"})
    words = {"metric": name, "variant": "", "method": "", "evaluator": "", "unit": unit, "better": better}
    return known.assign(**words).astype({"value": "float64"})


def _figures(long: pd.DataFrame) -> list[str]:
    """Name each measurement; where several evaluators give the same figure, each is told by its evaluator."""
    names = [
        figure_name(*words) for words in zip(long["metric"], long["variant"], long["method"], strict=True)
    ]
    pairs = pd.DataFrame({"name": names, "evaluator": long["evaluator"].to_numpy()}).drop_duplicates()
    shared = set(pairs.loc[pairs["name"].duplicated(), "name"])
    return [f"{n}@{e}" if n in shared else n for n, e in zip(names, long["evaluator"], strict=True)]


def identity(records: pd.DataFrame) -> list[str]:
    """What tells combinations apart: the components, and the suite or latent size where records mix them."""
    return COMPONENTS + [name for name in _MAY_VARY if name in records and records[name].nunique() > 1]


def label(words: Iterable[Any]) -> str:
    """One line for a combination.

    >>> label(["mixture[components=20]", "gaussian", "", "elbo"])
    'mixture[components=20] · gaussian · elbo'
    """
    return " · ".join(str(word) for word in words if not pd.isna(word) and str(word))


def run_table(records: pd.DataFrame, measurements: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """One row per run of any status: identity columns, ``key, seed, status, reason, label`` and each figure.

    Raises `UserError` where a combination has a seed twice, or a run has a figure twice.
    """
    long, names = tidy(records, measurements, split), identity(records)
    if long.duplicated(["key", "figure"]).any():
        twice = long.loc[long.duplicated(["key", "figure"]), "figure"].iloc[0]
        raise UserError(f"measurements.csv has '{twice}' twice for the same run")
    runs = records[[*names, "key", "seed", "status", "reason"]].fillna({"reason": ""})
    runs = runs.assign(label=[label(words) for words in runs[names[1:]].itertuples(index=False)])
    repeated = runs.duplicated(["dataset", "label", "seed"])
    if repeated.any():
        run = runs[repeated].iloc[0]
        raise UserError(f"records.csv has seed {run.seed} of '{run.label}' on '{run.dataset}' twice")
    wide = long.pivot(index="key", columns="figure", values="value").astype("float64")
    return runs.merge(wide[list(dict.fromkeys(long["figure"]))], left_on="key", right_index=True, how="left")


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
) -> pd.DataFrame:
    """Make the table: one row per combination and data set, also of those that gave nothing.

    Arguments:
        records: One row per run, all statuses.
        measurements: Long, one row per figure of a run.
        metric: What to rank by: a figure (``"log_likelihood[exact]"``) or a metric. The default, the ELBO,
            gives way to the first figure with a direction where it was not measured.
        split: The split whose measurements count.
        alpha: The chance of telling apart any combinations of a data set that do not differ.

    Returns:
        Columns ``dataset, rank``, the other components, ``seeds`` (how many are ok), ``status, reason, note``
        and for each figure its mean ``NAME`` and 95% interval ``NAME_low, NAME_high`` over seeds; sorted by
        data set and mean. ``attrs`` holds ``metric, split, alpha, identity, headline, figures`` (unit and
        direction) and the ``detectable`` differences.

    Raises `UserError` where there is no run, the metric was not measured, or a run is there twice.
    """
    if records.empty:
        raise UserError("there are no runs to make a leaderboard of")
    runs = run_table(records, measurements, split)
    figures = catalogue(tidy(records, measurements, split))
    default = metric in (None, "elbo") or figures.empty
    chosen = default_metric(figures) if default else resolve(str(metric), figures)
    shown = headline(figures, chosen)
    order = list(dict.fromkeys([*shown, *figures.index]))
    ranks, detectable = _ranks(runs, chosen, str(figures["better"].get(chosen, "neither")), alpha)
    board = ranks.join(_statuses(runs)).join(_means(runs, order)).reset_index(level="dataset")
    names = identity(records)
    board["note"] = [_note(*row) for row in zip(board["note"], board["seeds"], board["n"], strict=True)]
    heads = ["dataset", "rank", *names[1:], "seeds", "status", "reason", "note"]
    board = board[heads + [column for name in order for column in (name, f"{name}_low", f"{name}_high")]]
    board = board.reset_index(drop=True)
    board.attrs = {
        "metric": chosen,
        "split": split,
        "alpha": alpha,
        "identity": names,
        "detectable": detectable,
    }
    board.attrs["headline"] = shown
    board.attrs["figures"] = figures[["metric", "unit", "better"]].to_dict("index")
    return board


def _ranks(
    runs: pd.DataFrame, metric: str | None, better: str, alpha: float
) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """`rank_groups` of each data set, indexed by (dataset, label) in the order of the board."""
    runs = runs.assign(value=runs[metric] if metric else np.nan)
    values = seed_values(runs, "value")
    ranks = {dataset: rank_groups(frame, better, alpha) for dataset, frame in values.items()}
    detectable = {dataset: detectable_difference(frame, alpha) for dataset, frame in values.items()}
    return pd.concat(ranks, names=["dataset", "label"]).drop(columns="mean"), detectable


def _statuses(runs: pd.DataFrame) -> pd.DataFrame:
    """Components, number of ok seeds, and what became of the others, by (dataset, label)."""
    groups = runs.groupby(["dataset", "label"])
    names = [name for name in runs.columns[: runs.columns.get_loc("key")] if name != "dataset"]
    table = groups[names].first()
    table["seeds"] = groups["status"].agg(lambda status: int((status == "ok").sum()))
    table["status"] = groups["status"].agg(_status)
    table["reason"] = groups["reason"].agg(lambda reasons: "; ".join(dict.fromkeys(r for r in reasons if r)))
    return table


def _status(statuses: pd.Series[str]) -> str:
    counts = statuses.value_counts()
    if len(counts) == 1:
        return str(counts.index[0])
    order = sorted(counts.index, key=lambda status: (status != "ok", status))
    return ", ".join(f"{counts[status]} {status}" for status in order)


def _means(runs: pd.DataFrame, figures: list[str]) -> pd.DataFrame:
    """Mean and interval of each figure, by (dataset, label)."""
    groups = runs.groupby(["dataset", "label"])[figures]
    mean, width = groups.mean(), half_width(groups.std(), groups.count())
    low, high = (mean - width).add_suffix("_low"), (mean + width).add_suffix("_high")
    return pd.concat([mean, low, high], axis=1)


def _note(note: str, seeds: int, measured: int) -> str:
    """Add how many seeds gave the ranking metric where not all that are ok did."""
    short = f"measured in {measured} of {seeds} seeds" if measured < seeds else ""
    return "; ".join(part for part in (note, short) if part)
