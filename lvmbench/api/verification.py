"""Holding results to what is on record of them: checksums, tables, and figures that are measured again."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from lvmbench.api.fitted import Fitted
from lvmbench.api.results import Results
from lvmbench.errors import LvmbenchError, UserError
from lvmbench.evaluator import Evaluator
from lvmbench.registry.names import Ref
from lvmbench.registry.sandbox import preserved
from lvmbench.results.export import BOARD_CSV
from lvmbench.results.figures import figure_name
from lvmbench.results.folder import rebuild
from lvmbench.results.per_datum import per_datum_file
from lvmbench.results.provenance import provenance_in
from lvmbench.results.store import Store
from lvmbench.results.tables import CURVES, EVALUATIONS, MEASUREMENTS, RECORDS, stored_tables
from lvmbench.results.weights import WEIGHTS, fault, sha256_of, weights_file
from lvmbench.status import Status

TOLERANCE = 1e-4
"""Figures that differ by no more than this share are the same: each processor rounds in its own way."""
_WORDS = ["metric", "variant", "method", "split"]


@dataclass
class Check:
    """One thing that was held to what is on record: how many are as they should be, and what is not.

    Arguments:
        what: What was held.
        right: How many are as on record.
        wrong: Each that is not, in a line.
        unknown: What could not be held to anything, and why, in a line each.
    """

    what: str
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def take(self, problem: str) -> None:
        """Count one more, which is right where there is no problem."""
        if problem:
            self.wrong.append(problem)
        else:
            self.right += 1


@dataclass(frozen=True)
class Verification:
    """What became of the checks of some results; ``seed`` chose the runs that were measured again."""

    checks: Sequence[Check]
    seed: int

    @property
    def wrong(self) -> list[str]:
        """Everything that is not as on record."""
        return [line for check in self.checks for line in check.wrong]


def verify(results: Results, sample: int = 3, seed: int | None = None) -> Verification:
    """Check files, tables and weights against what is on record, and measure some runs again.

    Arguments:
        results: Those of a run, or a published board.
        sample: How many runs to measure again, with all that measured them.
        seed: What chooses these; by default another at each call.
    """
    chosen = random.SystemRandom().randrange(2**31) if seed is None else seed
    checks = [_files(results), _tables(results), _board(results.directory), _weights(results)]
    return Verification([*checks, _per_datum(results), _figures(results, sample, chosen)], chosen)


def _files(results: Results) -> Check:
    """The files of a published board against the checksums that it states."""
    check = Check("files")
    if not results.published:
        return check
    stated = provenance_in(results.directory)["files"]
    if not stated:
        check.unknown.append("no checksums of files are published")
    for name, sha256 in stated.items():
        path = results.directory / name
        found = sha256_of(path) if path.is_file() else "missing"
        check.take("" if found == sha256 else f"{name}: sha256 {found[:12]}, published {sha256[:12]}")
    return check


def _tables(results: Results) -> Check:
    """The tables of a results directory against its store."""
    check = Check("tables")
    if results.published:
        return check
    with Store.at(results.directory, results.store) as store:
        records, measurements = stored_tables(store)
        tables = {RECORDS: records, MEASUREMENTS: measurements}
        tables |= {EVALUATIONS: store.evaluations(), CURVES: store.curves()}
    for name, table in tables.items():
        path = results.directory / name
        same = path.is_file() and path.read_bytes() == table.to_csv(index=False).encode()
        check.take("" if same else f"{name} is not what the store gives")
    return check


def _board(directory: Path) -> Check:
    """The leaderboard against the one that the records give."""
    check, path = Check("leaderboard"), directory / BOARD_CSV
    if not path.is_file():
        check.wrong.append(f"{BOARD_CSV} is missing")
        return check
    made = pd.read_csv(StringIO(rebuild(directory).to_csv()))
    try:
        pd.testing.assert_frame_equal(made, pd.read_csv(path), rtol=1e-9)
        check.take("")
    except (AssertionError, ValueError) as error:  # another table, or none
        words = " ".join(str(error).split())
        check.take(f"{BOARD_CSV} is not what the records give: {words[:200]}")
    return check


def _weights(results: Results) -> Check:
    """The weights of all runs that are ok against their checksums."""
    check, records = Check("weights"), results.records
    ok = records[records["status"] == Status.OK]
    sums = ok["weights_sha256"] if "weights_sha256" in ok else pd.Series("", index=ok.index)
    if not results.has_weights:
        check.unknown.append(f"the weights of {len(ok)} runs are not published")
        return check
    for key, sha256 in zip(ok["key"], sums.fillna(""), strict=True):
        wrong = fault(weights_file(results.directory / WEIGHTS, key), sha256 or None)
        check.take(f"the weights of run {key[:20]} are {wrong}" if wrong else "")
    if without := int((sums.fillna("") == "").sum()):
        check.unknown.append(f"{without} runs have no checksum of their weights")
    return check


def _per_datum(results: Results) -> Check:
    """The figures of single data against their checksums."""
    check = Check("figures of single data")
    for (key, evaluator), sha256 in results.per_datum_checksums.items():
        wrong = fault(per_datum_file(results.directory / WEIGHTS, key, evaluator), sha256, "measured")
        check.take(f"those of run {key[:20]} by {evaluator} are {wrong}" if wrong else "")
    return check


def _figures(results: Results, sample: int, seed: int) -> Check:
    """Some runs, measured again by all that measured them."""
    check, records = Check("figures measured again"), results.records
    ok = records[records["status"] == Status.OK]
    if ok.empty or not results.has_weights or not sample:
        return check
    chosen = random.Random(seed).sample(range(len(ok)), min(sample, len(ok)))
    try:
        results.selection  # noqa: B018
    except UserError as error:
        check.unknown.append(str(error))
        return check
    measurements = results.measurements
    for _, row in ok.iloc[sorted(chosen)].iterrows():
        _measure_again(results, row, measurements[measurements["key"] == row["key"]], check)
    return check


def _measure_again(results: Results, row: pd.Series[Any], own: pd.DataFrame, check: Check) -> None:
    run = row["key"][:20]
    try:
        fitted = results.fitted(row)
    except LvmbenchError as error:
        check.unknown.append(f"run {run}: {error}")
        return
    for evaluator, rows in own.groupby("evaluator", sort=False):
        try:
            found = dict(_again(fitted, str(evaluator), str(rows["split"].iloc[0])))
        except LvmbenchError as error:
            check.unknown.append(f"run {run} by {evaluator}: {error}")
            continue
        for stated in rows.to_dict("records"):
            _hold(stated, found, f"run {run} by {evaluator}", check)


def _again(fitted: Fitted, evaluator: str, split: str) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """The figures that an evaluator gives now, by what they are called; `None` for what goes by the clock."""
    declared: Evaluator = fitted.catalogue.build("evaluator", Ref.parse(evaluator))
    with preserved([]):
        rows = list(fitted.measure(evaluator, split))
    for row in rows:
        timed = declared.metrics[row["metric"]].timed
        yield tuple(row[name] for name in _WORDS), None if timed else float(row["value"])


def _hold(
    stated: dict[Any, Any], found: dict[tuple[str, ...], float | None], where: str, check: Check
) -> None:
    """Hold a figure on record against the one that was found now."""
    words = tuple(str(stated[name] or "") for name in _WORDS)
    name, then = figure_name(*words[:3]), float(stated["value"])
    if words not in found:
        check.take(f"{where}: {name} is {then:.6g} on record, and is not measured now")
        return
    now = found[words]
    if now is None:
        return
    error = float(stated["stderr"] or math.nan)
    off = f", {abs(now - then) / error:.2g} standard errors" if error > 0 else ""
    same = math.isclose(now, then, rel_tol=TOLERANCE, abs_tol=TOLERANCE**2)
    check.take("" if same else f"{where}: {name} is {now:.6g}, on record {then:.6g}{off}")
