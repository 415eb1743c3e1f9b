"""The tables of results, records and measurements, as files hold them and as a store gives them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import COLUMNS, REAL_SETTINGS, WHOLE_SETTINGS
from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.text import shortened

if TYPE_CHECKING:
    from lvmbench.results.store import Store

RECORDS, MEASUREMENTS, EVALUATIONS, CURVES, BASELINES = (
    "records.csv",
    "measurements.csv",
    "evaluations.csv",
    "curves.csv",
    "baselines.csv",
)
"""What the tables of a results directory are called."""
LATE = 0.05
"""A run whose best epoch is among this share of its last ones was still improving."""
_WHOLE = [
    *WHOLE_SETTINGS,
    "suite_version",
    "seed",
    "trained_epochs",
    "best_epoch",
    "parameters",
    "peak_memory_host",
    "peak_memory_device",
    "pack",
    "epoch",
]
_REAL = [
    *REAL_SETTINGS,  # `seconds` is also what an evaluation took
    "train_seconds",
    "value",
    "stderr",
    "train_bound",
    "validation_bound",
]
_NAMED = ("key", *PARTS, "seed")
_NEEDED = {
    RECORDS: (*_NAMED, "latent", "status", "reason"),
    MEASUREMENTS: (*_NAMED, "evaluator", "split", "metric", "variant", "method", "value", "stderr"),
    EVALUATIONS: (*_NAMED, "evaluator", "status", "reason"),
    CURVES: ("key", "epoch", "train_bound", "validation_bound"),
}
"""What no such table is without."""
_FLAGS = {"True": True, "False": False, "": None}


@contextmanager
def plain_text() -> Iterator[None]:
    """Have pandas keep text as Python does, also where pyarrow is installed: words in tables of results are
    short and mostly the same, so that each row costs a pointer, and to look one up needs no other library.
    """
    with pd.option_context("mode.string_storage", "python"):
        yield


def read_results(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read ``records.csv`` and ``measurements.csv`` back as they were written.

    Text is text (``""`` where empty), counts are ``Int64`` and flags ``boolean``, which may be missing, and
    every float is exactly the one written. Raises `UserError` where a file is missing.
    """
    return read_table(directory / RECORDS), read_table(directory / MEASUREMENTS)


@plain_text()
def read_table(path: Path, needed: Iterable[str] = ()) -> pd.DataFrame:
    """Read a table of a results directory back as it was written.

    Raises `UserError` where it is not such a table, with the columns that are ``needed``.
    """
    if not path.is_file():
        raise UserError(
            f"'{path.parent}' is not a results directory: it has no {path.name}; make one with lvmbench run"
        )
    try:
        return _parsed(path, {*needed, *_NEEDED.get(path.name, ())})
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from error


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no file; raises `UserError` for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(content, dict):
        raise damaged(path, ValueError("it is no object"))
    return content


def damaged(path: Path, error: Exception) -> UserError:
    """The error that says that a file of results holds what lvmbench has not written."""
    what = shortened(" ".join(str(error).split()), 200)
    return UserError(f"'{path}' was changed by hand or is damaged: {what}; bring back a copy")


def _parsed(path: Path, needed: set[str]) -> pd.DataFrame:
    names = pd.read_csv(path, nrows=0).columns
    if missing := sorted(needed - set(names)):
        raise ValueError(f"it has no column {missing[0]}")
    reals, texts = names.intersection(_REAL), names.difference(_REAL)
    frame = pd.read_csv(
        path, dtype=dict.fromkeys(texts, "str"), converters=dict.fromkeys(reals, _real), keep_default_na=False
    )
    for name in frame.columns.intersection(_WHOLE):
        places, texts = pd.factorize(frame[name])
        frame[name] = pd.array([_whole(text) for text in texts], dtype="Int64").take(places)
    if "improving" in frame:
        frame["improving"] = pd.array([_FLAGS[text] for text in frame["improving"]], dtype="boolean")
    return frame


def _real(text: str) -> float:
    """A real number, exact whatever the version of pandas."""
    return float(text) if text else math.nan


def _whole(text: str) -> int | None:
    """A count, which pandas writes as ``10.0`` where others of its column are missing."""
    return int(text.removesuffix(".0")) if text else None


def asked(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that belong on a board: without those that, by a column ``asked_by``, nobody asks for."""
    return frame[frame["asked_by"] != ""] if "asked_by" in frame else frame


def stored_tables(store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records and the measurements of a store, and what its suite, as it is now, makes of them."""
    return stored_records(store), stored_measurements(store)


@plain_text()
def stored_records(store: Store) -> pd.DataFrame:
    """The records of a store, and what its suite, as it is now, makes of them.

    ``asked_by`` is ``suite`` for the runs that the suite asks for, and empty for what it no longer has.
    ``support`` is where p(x|z) of a run has its probability. ``improving`` says of an ok run whether its best
    epoch is among the last 5% of those it trained, unless patience had stopped it.
    """
    records = store.records()
    records["asked_by"] = _asked_runs(records, store.noted("combinations", None))
    supports = store.noted("supports", {})
    records["support"] = [supports.get(decoder, "") for decoder in records["decoder"]]
    records["improving"] = _improving(records)
    return records


@plain_text()
def stored_measurements(store: Store) -> pd.DataFrame:
    """The measurements of a store, in the order of the suite's evaluators.

    ``asked_by`` is ``suite`` for those that the suite asks for, ``evaluate`` for those that were added to
    them, and empty for what it no longer has.
    """
    return _asked_figures(store.measurements(), store.noted("evaluators", None), store.noted("added", []))


def _asked_runs(records: pd.DataFrame, combinations: list[list[Any]] | None) -> list[str]:
    if not combinations:
        return ["suite" if combinations is None else ""] * len(records)
    # what was noted before there was a setting had its default
    defaults = [Budget.model_fields[name].default for name in COLUMNS[len(combinations[0]) :]]
    asked = {(*row, *defaults) for row in combinations}
    return ["suite" if row in asked else "" for row in names_of(records, COLUMNS)]


def names_of(records: pd.DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """What runs are called, one for each row, with ``None`` for what is missing."""
    return [tuple(map(_plain, row)) for row in records[list(columns)].itertuples(index=False, name=None)]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _asked_figures(
    measurements: pd.DataFrame, evaluators: list[str] | None, others: list[str]
) -> pd.DataFrame:
    if evaluators is None:
        return measurements.assign(asked_by="suite")
    added, asked = dict.fromkeys(others, "evaluate"), dict.fromkeys(evaluators, "suite")
    order = {evaluator: i for i, evaluator in enumerate({**asked, **added})}
    places, names = pd.factorize(measurements["evaluator"])
    by = pd.Index([{**added, **asked}.get(name, "") for name in names], dtype="str").take(places)
    place = np.array([order.get(name, len(order)) for name in names], dtype=int)[places]
    return measurements.assign(asked_by=by).iloc[place.argsort(kind="stable")].reset_index(drop=True)


def _improving(records: pd.DataFrame) -> pd.Series[bool]:
    """Whether each run was still improving when its training ended; missing for those that are not ok."""
    trained = records["trained_epochs"]
    late = trained - records["best_epoch"] < np.ceil(LATE * trained.astype(float))
    cut_short = records["stopped"].isin(["budget", "seconds"])
    return (late & cut_short).astype("boolean").where(records["status"] == "ok")


def write(path: Path, text: str | bytes) -> bool:
    """Write a file whole or not at all; says whether it changed."""
    content = text.encode("utf-8") if isinstance(text, str) else text
    if path.is_file() and path.read_bytes() == content:
        return False
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise UserError(
            f"'{path}' cannot be written: {error.strerror}; the store has what is finished: mend that, and "
            "the same command goes on"
        ) from error
    finally:
        with suppress(OSError):  # where nothing can be written nothing can be removed
            partial.unlink(missing_ok=True)
    return True


def as_csv(frame: pd.DataFrame) -> str:
    """The rows as csv; the same frame gives the same bytes, and floats read back exactly."""
    return frame.to_csv(index=False, lineterminator="\n")


def as_json(frame: pd.DataFrame) -> str:
    """An array with one object per row; what is missing is null."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    plain: Any = {"ensure_ascii": False, "allow_nan": False, "default": lambda value: value.item()}
    return json.dumps(rows, indent=2, **plain) + "\n"
