"""The chapters of a report that list what it is made of: components, combinations, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lvmbench.kinds import PARTS
from lvmbench.results.board import Board
from lvmbench.results.labels import table_name
from lvmbench.results.report.anchors import component_anchor
from lvmbench.results.report.grid import Cell, Grid, Head
from lvmbench.results.report.page import Chapter, Commands, Entry, Fold, Prose
from lvmbench.results.sections import cell

_RUNS = {
    "seed": "seed",
    "status": "status",
    "trained_epochs": "epochs",
    "best_epoch": "best epoch",
    "stopped": "ended by",
    "train_seconds": "seconds",
    "reason": "reason",
}
_NUMBERS = frozenset({"seed", "epochs", "best epoch", "seconds"})


@dataclass(frozen=True)
class Made:
    """How results came about.

    Arguments:
        commands: The lines of a shell that make them again.
        needs: What that needs, each in a line.
        environments: The descriptions of the machines.
        checksums: The sha256 of each file, by name.
    """

    commands: Sequence[str]
    needs: Sequence[str]
    environments: Sequence[Mapping[str, Any]]
    checksums: Mapping[str, str]


def components(board: Board, said: Mapping[tuple[str, str], str]) -> Chapter:
    """Every component of the runs: what it is, what became of its runs, and what its effects are.

    Arguments:
        board: The board.
        said: What the documentation of a component says of it, by kind and name, where that is known.
    """
    found = board.worth.parts
    kinds = [
        Fold(kind, [_component(board, found, kind, name, said.get((kind, name), "")) for name in names])
        for kind in PARTS
        if (names := list(dict.fromkeys(board.records[kind].astype(str))))
    ]
    return Chapter("components", "Components", kinds)


def _component(board: Board, found: pd.DataFrame, kind: str, name: str, said: str) -> Entry:
    runs = board.runs[board.runs[kind].astype(str) == name]
    counts = ", ".join(f"{n} {status}" for status, n in runs["status"].value_counts().items())
    lines = [
        said,
        f"Runs: {counts}." if counts else "",
        *_best(board, kind, name),
        *_effects(found, kind, name),
    ]
    return Entry(component_anchor(kind, name), f"{kind} {name}", [Prose(list(filter(None, lines)))])


def _best(board: Board, kind: str, name: str) -> Iterator[str]:
    """The first row of each table that has the component."""
    metric = board.metric
    if metric is None:
        return
    rows = board.frame[(board.frame[kind].astype(str) == name) & board.frame[metric].notna()]
    for table, own in rows.groupby(["dataset", "scale"], sort=False):
        best = own.iloc[0]
        value = cell(*(float(best[metric + end]) for end in ("", "_low", "_high")))
        rank = "" if pd.isna(best["rank"]) else f", rank {best['rank']}"
        words = board.labels[own.index[0]]
        yield f"Best on {table_name(*map(str, table))}: {words}, {board.called(metric)} {value}{rank}."


def _effects(found: pd.DataFrame, kind: str, name: str) -> Iterator[str]:
    """What exchanging it for another, or another for it, is worth."""
    own = found[(found["axis"] == kind) & ((found["setting"] == name) | (found["against"] == name))]
    for row in own.to_dict("records"):
        value = cell(*(float(row[end]) for end in ("difference", "low", "high")))
        where = table_name(str(row["dataset"]), str(row["scale"]))
        yield f"{row['setting']} against {row['against']} on {where}: {value}, {row['verdict']}."


def combinations(board: Board, anchors: Mapping[str, str]) -> Chapter:
    """Every combination with its runs.

    Arguments:
        board: The board.
        anchors: The anchor of the combination of each run, by key.
    """
    known = _known(board.records.set_index("key").loc[board.runs["key"]])
    heads = [Head(str(name), name in _NUMBERS) for name in known.columns]
    cells = [[_cell(value, head.number) for value in known[head.text]] for head in heads]
    rows = pd.Series(list(zip(*cells, strict=True)), index=board.runs.index, dtype=object)
    runs = board.runs[["dataset", "label"]].assign(place=board.runs["key"].map(anchors), row=rows)
    folds = [
        Fold(f"{dataset}: {part['place'].nunique()} combinations", [*_of_dataset(part, heads)])
        for dataset, part in runs.groupby("dataset", sort=False)
    ]
    return Chapter("combinations", "Combinations and their runs", folds)


def _known(records: pd.DataFrame) -> pd.DataFrame:
    """What is told of runs, in columns of which none is empty."""
    known = records.reindex(columns=list(_RUNS)).assign(key=records.index.str[:12]).rename(columns=_RUNS)
    return known.loc[:, (known.notna() & (known != "")).any()]


def _of_dataset(part: pd.DataFrame, heads: Sequence[Head]) -> Iterator[Entry]:
    for place, own in part.groupby("place", sort=False):
        yield Entry(str(place), str(own["label"].iloc[0]), [Grid("", heads, own["row"].tolist(), still=True)])


def _cell(value: Any, number: bool) -> Cell:
    if pd.isna(value):
        return Cell("", "" if number else None)
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return Cell(text, text if number else None)


def made(how: Made) -> Chapter:
    """How to redo it, on what it was made, and the checksums of its files."""
    parts: list[Any] = [Commands(how.commands), Prose(list(how.needs))] if how.commands else []
    parts += [Fold("machines and versions", [Commands([_as_text(one)])]) for one in how.environments]
    if how.checksums:
        rows = [[Cell(name), Cell(digest)] for name, digest in how.checksums.items()]
        parts.append(Fold("checksums", [Grid("", [Head("file"), Head("sha256")], rows)]))
    return Chapter("made", "How to redo it", parts)


def _as_text(environment: Mapping[str, Any]) -> str:
    return json.dumps(environment, indent=2, ensure_ascii=False)
