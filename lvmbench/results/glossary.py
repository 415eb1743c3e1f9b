"""What evaluators say of their figures, kept beside the results:
titles, units, sentences, and which of them boards show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lvmbench.results.tables import as_csv, read_table, write

if TYPE_CHECKING:
    from lvmbench.suites.figures import Instrument

FIGURES = "figures.csv"
"""The file of a results directory that says what each figure is."""
COLUMNS = ("evaluator", "metric", "title", "unit", "better", "meaning", "shown")


def declared(evaluators: Mapping[str, Instrument]) -> pd.DataFrame:
    """What evaluators declare of their figures, by name: a row for each metric, those that boards show first.

    Returns:
        Columns ``evaluator, metric, title, unit, better, meaning`` and ``shown``, the figure of this metric
        that boards show, if any.
    """
    rows = [row for name, evaluator in evaluators.items() for row in _rows(name, evaluator)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(name: str, evaluator: Instrument) -> Iterator[tuple[str, ...]]:
    shown = {figure.partition("[")[0]: figure for figure in evaluator.board}
    for metric in {**shown, **evaluator.metrics}:
        it = evaluator.metrics[metric]
        yield name, metric, it.title, it.unit, it.better, it.meaning, shown.get(metric, "")


def kept(directory: Path) -> pd.DataFrame:
    """What a results directory says of its figures; nothing where it has no such file."""
    path = directory / FIGURES
    return read_table(path, COLUMNS) if path.is_file() else pd.DataFrame(columns=list(COLUMNS))


def keep(figures: pd.DataFrame, directory: Path) -> None:
    """Keep what evaluators declare, in place of what they declared before, beside what others do."""
    before = kept(directory)
    others = before[~before["evaluator"].isin(figures["evaluator"])]
    write(directory / FIGURES, as_csv(pd.concat([others, figures])))


def told(measurements: pd.DataFrame, figures: pd.DataFrame) -> pd.DataFrame:
    """Measurements with what is said of their figures: ``title, meaning, shown`` and its ``place`` on boards.

    Each is missing where nothing is said.
    """
    said = figures[["evaluator", "metric", "title", "meaning", "shown"]]
    said = said.assign(place=range(len(said))).rename(columns={"evaluator": "head"})
    heads = {name: name.partition("[")[0] for name in measurements["evaluator"].unique()}
    found = measurements.assign(head=measurements["evaluator"].map(heads))
    return found.merge(said, on=["head", "metric"], how="left").drop(columns="head")
