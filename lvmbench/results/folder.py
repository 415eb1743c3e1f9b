"""What a folder of results holds beside its tables: suite, plugins, remarks on the data; and its board."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lvmbench.errors import UserError
from lvmbench.registry.loader import PluginSelection
from lvmbench.results.baselines import baselines_in, with_ways
from lvmbench.results.board import Board, leaderboard
from lvmbench.results.glossary import kept, told
from lvmbench.results.references import compare
from lvmbench.results.tables import RECORDS, damaged, plain_text, read_object, read_results
from lvmbench.results.verdicts import judge
from lvmbench.suites.yamlfile import read_bounded

if TYPE_CHECKING:
    from lvmbench.results.store import Store

REMARKS = "remarks.json"
"""The file of a results directory that says, by data set, what to know of the data."""


@plain_text()
def board_of(
    records: pd.DataFrame,
    measurements: pd.DataFrame,
    directory: Path,
    metric: str | None = None,
    split: str = "test",
) -> Board:
    """The leaderboard by a metric, or by the suite's, or by the default one; with what became of the claims,
    and published figures beside the suite's.

    Arguments:
        records: One row per run.
        measurements: Long, one row per figure of a run.
        directory: The folder of the results or of the published board, for its suite.
        metric: What to rank by instead of the suite's metric; raises `UserError` where it was not measured.
        split: The split whose measurements count.
    """
    suite, measurements = suite_of(directory), told(measurements, kept(directory))
    make = partial(leaderboard, records, measurements, split=split, columns=suite.get("board"))
    board = _by_suite(make, suite) if metric is None else make(metric)
    claims = judge(suite.get("claims", []), records, measurements)
    references = compare(suite.get("references", []), records, measurements)
    board = replace(board, claims=claims, references=references, remarks=remarks_in(directory))
    return with_ways(replace(board, baselines=baselines_in(directory)))


def _by_suite(make: Callable[[str | None], Board], suite: Mapping[str, Any]) -> Board:
    """The leaderboard by a suite's metric, or instead by the default one where that was not measured."""
    metric = suite.get("metric")
    try:
        return make(metric)
    except UserError:
        return replace(make(None), instead_of=metric)


def rebuild(directory: Path) -> Board:
    """The leaderboard again, from tables and suite of a directory; raises `UserError` where it has none."""
    return board_of(*read_results(directory), directory)


def remarks_in(directory: Path) -> dict[str, list[str]]:
    """What to know of the data that a results directory was made with, by data set."""
    return read_object(directory / REMARKS)


def links_in(directory: Path) -> list[str]:
    """The symbolic links in a folder of results, and in the folders of it."""
    with os.scandir(directory) as listing:
        own = list(listing)
    links = [entry.path for entry in own if entry.is_symlink()]
    for folder in (entry.path for entry in own if entry.is_dir(follow_symlinks=False)):
        with os.scandir(folder) as listing:
            links += [entry.path for entry in listing if entry.is_symlink()]
    return links


def suite_of(directory: Path) -> dict[str, Any]:
    """The keys of the suite that results were made by; raises `UserError` where they cannot be read."""
    path = directory / "suite.yaml"
    if not path.is_file():
        return {}
    try:
        suite = YAML(typ="safe").load(read_bounded(path))
    except YAMLError as error:
        raise UserError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    return suite if isinstance(suite, dict) else {}


def plugins_of(store: Store) -> PluginSelection:
    """The plugins that the runs of a store were made with."""
    extra, blocked = store.noted("plugins", [[], []])
    return PluginSelection(tuple(extra), tuple(blocked))


def is_published(directory: Path) -> bool:
    """Whether a folder is a published board: tables without a store and weights."""
    return (directory / RECORDS).is_file() and not (directory / "store.sqlite").exists()
