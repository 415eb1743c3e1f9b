"""Leaderboards: from records and measurements to one row per combination and data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.results.metrics import asked, catalogue, headline, ranking, tidy
from lvmbench.results.statistics import detectable_difference, half_width, rank_groups

"""The columns that name a combination and its data set."""

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
_FLAGS = {"True": True, "False": False, "": None}
DISCRETE = frozenset({"binary", "one_hot", "finite", "count"})
"""The supports on which p(x|z) is a probability mass; on any other it is a density."""
_MAY_VARY = ("suite", "suite_version", "latent")
_KNOWN = ("support", "improving")
_TABLE = ("dataset", "scale")


def read_results(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read ``records.csv`` and ``measurements.csv`` back as they were written.

    Text is text (``""`` where empty), counts are ``Int64`` and flags ``boolean``, which may be missing, and every float is
    exactly the one written. Raises `UserError` where a file is missing.
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
    if "improving" in frame:
        frame["improving"] = pd.array([_FLAGS[text] for text in frame["improving"]], dtype="boolean")
    return frame


def _whole(text: str) -> int | None:
    """A count, which pandas writes as ``10.0`` where others of its column are missing."""
    return int(text.removesuffix(".0")) if text else None


def identity(records: pd.DataFrame) -> list[str]:
    """What tells combinations apart: the components, and the suite or latent size where records mix them."""
    return [*PARTS] + [name for name in _MAY_VARY if name in records and records[name].nunique() > 1]


def label(words: Iterable[Any]) -> str:
    """One line for a combination.

    >>> label(["mixture[components=20]", "gaussian", "", "elbo"])
    'mixture[components=20] · gaussian · elbo'
    """
    return " · ".join(str(word) for word in words if not pd.isna(word) and str(word))


def run_table(records: pd.DataFrame, measurements: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """One row per run of any status: identity columns, ``key, seed, status, reason, label`` and each figure.

    Runs that nobody asks for are left out. Raises `UserError` where a combination has a seed twice, or a run a figure.
    """
    records = asked(records)
    long, names = tidy(records, measurements, split), identity(records)
    if long.duplicated(["key", "figure"]).any():
        twice = long.loc[long.duplicated(["key", "figure"]), "figure"].iloc[0]
        raise UserError(f"measurements.csv has '{twice}' twice for the same run")
    known = [name for name in _KNOWN if name in records]
    runs = records[[*names, "key", "seed", "status", "reason", *known]].fillna({"reason": ""})
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

    Rows are ranked among those of their ``scale``: a log density is not held against the log of a probability, nor
    the ``bound`` of one objective against that of another.

    Arguments:
        records: One row per run, all statuses. Where they have a column ``asked_by``, runs for which it is empty are left
            out; so are such measurements.
        measurements: Long, one row per figure of a run. Those that are ``asked_by`` ``evaluate`` are shown, and rank only
            where ``metric`` names them.
        metric: What to rank by: a figure (``"log_likelihood[exact]"``) or a metric; ``"none"`` ranks nothing. The
            default, the ELBO, gives way to the suite's first figure with a direction where it was not measured.
        split: The split whose measurements count.
        alpha: The chance of telling apart any combinations of a data set that do not differ.

    Returns:
        Columns ``dataset, scale, rank``, the other components, ``seeds`` (how many are ok), ``improving`` (how many of these
        were, when their training ended), ``status, reason, note`` and for each figure its mean ``NAME`` and 95% interval
        ``NAME_low, NAME_high`` over seeds; sorted by data set, scale and mean. ``attrs`` holds ``metric, split, alpha,
        identity, headline, figures`` (unit and direction), the ``detectable`` differences by table, and what is ``unasked``.

    Raises `UserError` where there is no run, the metric was not measured, or a run is there twice.
    """
    if asked(records).empty:
        raise UserError("there are no runs to make a leaderboard of")
    runs = run_table(records, measurements, split)
    figures = catalogue(tidy(records, measurements, split))
    chosen = ranking(metric, figures)
    shown = headline(figures, chosen)
    order = list(dict.fromkeys([*shown, *figures.index]))
    runs = runs.assign(scale=_scales(runs, figures, chosen))
    ranks, detectable = _ranks(runs, chosen, str(figures["better"].get(chosen, "neither")), alpha)
    board = ranks.join(_statuses(runs)).join(_means(runs, order)).reset_index(level=["dataset", "scale"])
    names = identity(asked(records))
    notes = [_note(*row) for row in zip(board["note"], board["seeds"], board["n"], strict=True)]
    board["note"] = notes if chosen else ""
    heads = ["dataset", "scale", "rank", *names[1:], "seeds", "improving", "status", "reason", "note"]
    board = board[heads + [column for name in order for column in (name, f"{name}_low", f"{name}_high")]]
    board = board.reset_index(drop=True).copy()  # in one piece: columns are added to it later
    board.attrs = {
        "metric": chosen,
        "split": split,
        "alpha": alpha,
        "identity": names,
        "detectable": detectable,
    }
    board.attrs["headline"] = shown
    board.attrs["figures"] = figures[["metric", "unit", "better"]].to_dict("index")
    board.attrs["unasked"] = _unasked(records, measurements)
    return board


def suite_leaderboard(
    records: pd.DataFrame, measurements: pd.DataFrame, metric: str | None, split: str = "test"
) -> pd.DataFrame:
    """The leaderboard by a suite's metric; by the default one where that was not measured, which ``attrs["instead_of"]`` says."""
    try:
        return leaderboard(records, measurements, metric=metric, split=split)
    except UserError:
        board = leaderboard(records, measurements, split=split)
        board.attrs["instead_of"] = metric
        return board


def _unasked(records: pd.DataFrame, measurements: pd.DataFrame) -> dict[str, Any]:
    """What is kept and not shown: how many runs, and the figures of which evaluators."""
    kept = measurements[~measurements.index.isin(asked(measurements).index)]
    evaluators = list(dict.fromkeys(kept["evaluator"]))
    return {"runs": len(records) - len(asked(records)), "evaluators": evaluators}


def _scales(runs: pd.DataFrame, figures: pd.DataFrame, metric: str | None) -> pd.Series[str]:
    """What the ranking metric of each run is the logarithm of, where combinations of a data set differ in it; else ``""``."""
    parts = []
    if metric and figures.loc[metric, "metric"] == "bound":
        parts.append("bound of " + runs["objective"].astype(str))
    if metric and str(figures.loc[metric, "unit"]).startswith(("nats", "bits")) and "support" in runs:
        parts.append(runs["support"].map(lambda s: "probability mass" if s in DISCRETE else "density"))
    scale = pd.Series([", ".join(row) for row in zip(*parts, strict=True)] if parts else "", index=runs.index)
    measured = runs.groupby(["dataset", "label"])["status"].transform(lambda status: (status == "ok").any())
    scale = scale.where(measured, "")
    several = scale.where(measured).groupby(runs["dataset"]).transform("nunique") > 1
    return scale.where(several, "")


def table_name(dataset: str, scale: str) -> str:
    """What the table of a data set is called, of those rows that are ranked together.

    >>> table_name("digits", ""), table_name("digits", "bound of elbo")
    ('digits', 'digits · bound of elbo')
    """
    return label([dataset, scale])


def _ranks(
    runs: pd.DataFrame, metric: str | None, better: str, alpha: float
) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """`rank_groups` of each table, indexed by (dataset, scale, label) in the order of the board, and detectable differences."""
    runs = runs.assign(value=runs[metric] if metric else np.nan)
    parts = {str(scale): seed_values(part, "value") for scale, part in runs.groupby("scale")}
    values = {(dataset, scale): frame for scale, part in parts.items() for dataset, frame in part.items()}
    values = dict(sorted(values.items(), key=lambda item: (item[0][0], not item[0][1], item[0][1])))
    ranks = {table: rank_groups(frame, better, alpha) for table, frame in values.items()}
    detectable = {table_name(*t): detectable_difference(frame, alpha) for t, frame in values.items()}
    return pd.concat(ranks, names=[*_TABLE, "label"]).drop(columns="mean"), detectable


def _statuses(runs: pd.DataFrame) -> pd.DataFrame:
    """Components, number of ok seeds and what is known of them, what became of the others, by (dataset, scale, label)."""
    groups = runs.groupby([*_TABLE, "label"])
    names = [name for name in runs.columns[: runs.columns.get_loc("key")] if name != "dataset"]
    table = groups[names].first()
    table["seeds"] = groups["status"].agg(lambda status: int((status == "ok").sum()))
    table["improving"] = groups["improving"].sum(min_count=1) if "improving" in runs else pd.NA
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
    """Mean and interval of each figure, by (dataset, scale, label)."""
    groups = runs.groupby([*_TABLE, "label"])[figures]
    mean, width = groups.mean(), half_width(groups.std(), groups.count())
    low, high = (mean - width).add_suffix("_low"), (mean + width).add_suffix("_high")
    return pd.concat([mean, low, high], axis=1)


def _note(note: str, seeds: int, measured: int) -> str:
    """Add how many seeds gave the ranking metric where not all that are ok did."""
    short = f"measured in {measured} of {seeds} seeds" if measured < seeds else ""
    return "; ".join(part for part in (note, short) if part)
