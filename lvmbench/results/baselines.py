"""Reference rows: baselines and published figures beside a board, and how far its rows have come."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lvmbench.results.board import WAY, Board
from lvmbench.results.figures import Figure
from lvmbench.results.labels import table_name
from lvmbench.results.scales import measure_of
from lvmbench.results.tables import BASELINES, as_csv, read_table, write
from lvmbench.status import Status

COLUMNS = (
    "dataset",
    "sha256",
    "baseline",
    "version",
    "measure",
    "split",
    "value",
    "stderr",
    "choice",
    "source",
    "status",
    "reason",
    "seconds",
)
NAMED = ["dataset", "sha256", "baseline", "version", "measure"]
"""What tells one from another; of what is published there may be several."""
LOG_DENSITIES = ("log_likelihood", "elbo")
"""The metrics whose figures are held against baselines, where they are in nats per datum."""
MARGINALS, TRUTH = "marginals", "truth"


def baselines_in(directory: Path) -> pd.DataFrame:
    """The reference rows of a results directory or of a published board."""
    path = directory / BASELINES
    return read_table(path, COLUMNS) if path.is_file() else pd.DataFrame(columns=list(COLUMNS))


def keep_baselines(directory: Path, rows: pd.DataFrame) -> None:
    """Write the reference rows of a results directory."""
    write(directory / BASELINES, as_csv(rows))


def with_rows(known: pd.DataFrame, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Reference rows with others in place of those of the same name; another version of the data, or of a
    baseline, is the same.
    """
    found = pd.DataFrame([dict(row) for row in rows], columns=list(COLUMNS))
    same = ["dataset", "baseline", "measure"]
    kept = known[~pd.MultiIndex.from_frame(known[same]).isin(pd.MultiIndex.from_frame(found[same]))]
    parts = [part.astype(object) for part in (kept, found) if not part.empty]
    both = pd.concat(parts) if parts else found
    return both.sort_values(["dataset", "measure", "baseline", "value"], kind="stable", ignore_index=True)


@dataclass(frozen=True)
class Scale:
    """From the independent marginals to the best that is known, of one table.

    Arguments:
        start: log p of the marginals.
        end: The best.
        best: What has it.
    """

    start: float
    end: float
    best: str

    def of(self, value: float) -> float:
        """How far of the way a figure has come, as a share."""
        return (value - self.start) / (self.end - self.start)


@dataclass(frozen=True)
class Table:
    """The reference rows of a data set on one scale, and the ``index`` of a board's rows that are on it."""

    name: str
    rows: pd.DataFrame
    index: pd.Index[int]
    scale: Scale | None


def reopen_baselines(directory: Path, statuses: Container[str]) -> None:
    """Have the baselines that ended with these statuses fitted again by the next run."""
    known = baselines_in(directory)
    kept = [status not in statuses for status in known["status"]]
    if not all(kept):
        keep_baselines(directory, known[kept])


def tables(board: Board) -> Iterator[Table]:
    """What there is to hold the rows of each data set against, probabilities and densities apart."""
    if board.baselines.empty:
        return
    figure, frame = compared(board), board.frame
    measures = _measures(board)
    for dataset, own in measures.groupby(frame["dataset"], sort=False):
        for measure, part in frame.loc[own.index].groupby(own):
            rows = _beside(board, str(dataset), str(measure))
            if len(rows):
                name = table_name(str(dataset), str(measure) if own.nunique() > 1 else "")
                yield Table(name, rows, part.index, _scale(rows, part, figure) if figure else None)


def compared(board: Board) -> str | None:
    """The figure of a board that is held against baselines: a log-likelihood, as theirs is, or else the ELBO;
    of several the one that ranks, or the first.
    """
    names = dict.fromkeys([*([board.metric] if board.metric else []), *board.headline, *board.figures])
    plain = [name for name in names if _is_plain(board.figures[name])]
    return min(plain, key=lambda name: LOG_DENSITIES.index(board.figures[name].metric), default=None)


def _is_plain(figure: Figure) -> bool:
    """Whether a figure is of data, and neither per step nor of other data."""
    return figure.metric in LOG_DENSITIES and figure.unit == "nats" and not figure.variant


def with_ways(board: Board) -> Board:
    """A board whose frame says how far each row has come, where that is known of any."""
    found = [table for table in tables(board) if table.scale]
    if not found:
        return board
    figure = compared(board)
    ways = pd.Series(np.nan, index=board.frame.index)
    for table in found:
        assert table.scale is not None
        ways[table.index] = board.frame.loc[table.index, figure].map(table.scale.of)
    return replace(board, frame=board.frame.assign(**{WAY: ways}))


def _measures(board: Board) -> pd.Series[str]:
    """What the figures of each row with a result are the logarithm of, where that is known."""
    runs, frame = board.runs, board.frame[board.frame["seeds"] > 0]
    if "support" not in runs:
        return pd.Series(dtype=str)
    ok = runs[runs["status"] == Status.OK]
    known = dict(
        zip(zip(ok["dataset"], ok["label"], strict=True), ok["support"].map(measure_of), strict=True)
    )
    rows = zip(frame["dataset"], board.labels[frame.index], strict=True)
    return pd.Series([known[row] for row in rows], index=frame.index, dtype=str)


def _beside(board: Board, dataset: str, measure: str) -> pd.DataFrame:
    """The reference rows of a data set that are on a scale, the best last."""
    known = board.baselines
    own = (
        (known["dataset"] == dataset) & (known["measure"] == measure) & known["split"].isin([board.split, ""])
    )
    return known[own].sort_values("value", kind="stable")


def _scale(rows: pd.DataFrame, part: pd.DataFrame, figure: str) -> Scale | None:
    """Up to the truth where it is known; else to the best of baselines, published figures and own rows."""
    known = rows[rows["value"].notna()]
    start = known.loc[known["baseline"] == MARGINALS, "value"]
    if start.empty or part[figure].isna().all():
        return None
    own = pd.Series({"the best row": part[figure].max()})
    others = pd.Series(known["value"].to_numpy(), index=[_called(row) for row in known.to_dict("records")])
    true = others[known["baseline"].to_numpy() == TRUTH]
    best = true if len(true) else pd.concat([others, own])
    end = float(best.max())
    return Scale(float(start.iloc[0]), end, str(best.idxmax())) if end > float(start.iloc[0]) else None


def _called(row: Mapping[Any, Any]) -> str:
    return f"{row['choice']} ({row['source']})" if row["source"] else str(row["baseline"])
