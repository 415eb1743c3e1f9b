"""The results of a suite, read from Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import SETTINGS, Combination
from lvmbench.errors import UserError, nearest
from lvmbench.kinds import PARTS
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.results.board import Board
from lvmbench.results.compare import Compared, Reader, compare
from lvmbench.results.consent import Consent
from lvmbench.results.export import REPORT
from lvmbench.results.folder import board_of, is_published, plugins_of
from lvmbench.results.front import front
from lvmbench.results.html import to_html
from lvmbench.results.per_datum import per_datum_file, read_per_datum
from lvmbench.results.provenance import of_run, provenance_in
from lvmbench.results.selection import chosen
from lvmbench.results.store import Store
from lvmbench.results.tables import (
    MEASUREMENTS,
    RECORDS,
    names_of,
    read_results,
    read_table,
    stored_measurements,
    stored_records,
    stored_tables,
)
from lvmbench.results.weights import WEIGHTS
from lvmbench.text import printable

if TYPE_CHECKING:
    from lvmbench.api.fitted import Fitted
    from lvmbench.api.plots import ResultsPlots
    from lvmbench.api.verification import Verification
    from lvmbench.model import LatentVariableModel


@dataclass(frozen=True)
class Results:
    """The results of a suite in a directory; each table is read anew whenever it is asked for.

    Arguments:
        directory: Where ``lvmbench run`` or `run` wrote them, or where they are published; with weights there
            only where these were asked for.
        store: The URL of their database; by default it is a file in the directory.
        consent: The local plugins that may be imported for them; a store names those that it was made with.
    """

    directory: Path
    store: str | None = None
    consent: Consent = field(default_factory=Consent)

    @property
    def records(self) -> pd.DataFrame:
        """One row per run, whatever became of it."""
        if self.published:
            return read_table(self.directory / RECORDS)
        with self._opened() as store:
            return stored_records(store)

    @property
    def measurements(self) -> pd.DataFrame:
        """One row per figure, with the columns that name its run."""
        if self.published:
            return read_table(self.directory / MEASUREMENTS)
        with self._opened() as store:
            return stored_measurements(store)

    @property
    def evaluations(self) -> pd.DataFrame:
        """One row per evaluator and run, with status and reason."""
        return self._frame("evaluations")

    @property
    def curves(self) -> pd.DataFrame:
        """The learning curves: key, epoch, train_bound, validation_bound."""
        return self._frame("curves")

    @property
    def selection(self) -> PluginSelection:
        """The plugins that the runs were made with, or those given for a published board.

        Raises `UserError` where nobody has allowed that they are imported.
        """
        if self.published:
            return self.consent.plugins
        with self._opened() as store:
            return self.consent.to(plugins_of(store))

    @property
    def published(self) -> bool:
        """Whether they are a published board, which has no store."""
        return self.store is None and is_published(self.directory)

    @property
    def has_weights(self) -> bool:
        """Whether the trained models are there: with a published board only if they were published too."""
        return not self.published or (self.directory / WEIGHTS).is_dir()

    def leaderboard(self, metric: str | None = None) -> pd.DataFrame:
        """One row per combination and data set, ranked by the suite's metric or by another.

        Raises `UserError` for a metric that was not measured.
        """
        return self.board(metric).frame

    def board(self, metric: str | None = None, split: str = "test", where: Sequence[str] = ()) -> Board:
        """The leaderboard with what ranks it, its claims and how to read it; raises as `leaderboard` does.

        With conditions such as ``prior=vamp`` or ``latent=8`` it is of the runs that meet all of them, ranked
        among themselves, and has no claims, which are about all.
        """
        records, measurements = self.tables()
        splits = measurements["split"].unique().tolist()
        if splits and split not in splits:
            raise UserError(f"split: nothing was measured on '{split}'{nearest(split, splits)}")
        if not where:
            return board_of(records, measurements, self.directory, metric, split)
        board = board_of(chosen(records, where), measurements, self.directory, metric, split)
        return replace(board, claims=pd.DataFrame(), references=pd.DataFrame())

    def effects(self, metric: str | None = None, split: str = "test") -> pd.DataFrame:
        """What each axis of the suite's grid is worth, everything else being equal.

        One row for each setting of an axis and table, against the first of that axis: `difference`, its
        interval from `low` to `high` over seeds, and the `verdict`. Raises as `leaderboard` does.
        """
        return self.board(metric, split).worth.parts

    def interactions(self, metric: str | None = None, split: str = "test") -> pd.DataFrame:
        """How much more each pair of settings of two axes is worth than the sum of its parts.

        One row for each pair and table, as `effects` has them. Raises as `leaderboard` does.
        """
        return self.board(metric, split).worth.pairs

    def compare(
        self,
        a: str,
        b: str,
        metric: str | Sequence[str] = (),
        *,
        equal_within: float | None = None,
        split: str = "test",
        where: Sequence[str] = (),
    ) -> Compared:
        """One selection of runs against another, such as ``"prior=vamp"`` and ``"prior=mixture"``.

        They are paired by everything else, by seed, and where figures of single data are at hand by test
        datum. `frame` has the difference of each figure on each data set, its interval, and how probable it
        is that a is better, equal or worse; printed, it is that in words.

        Arguments:
            a: Conditions, or the parts of a row as tables have them.
            b: The same of what it is held against.
            metric: The figures; the first leads. By default that which ranks, and those that a board shows.
            equal_within: Up to which difference of the leading figure the two count as equal.
            split: The split whose figures count.
            where: Conditions that both are to meet.

        Raises `UserError` where a selection is none, the two are the same, or they never meet.
        """
        figures = [metric] if isinstance(metric, str) else list(metric)
        board = self.board(figures[0] if figures else None, split, where)
        return compare(
            board,
            self.measurements,
            a,
            b,
            figures=figures,
            equal_within=equal_within,
            per_datum=self._reader(),
        )

    def _reader(self) -> Reader:
        """What reads the figures of single data, as long as they are those that were written."""
        sums, folder = self.per_datum_checksums, self.directory / WEIGHTS
        return lambda key, evaluator, name: read_per_datum(
            per_datum_file(folder, key, evaluator), name, sums.get((key, evaluator))
        )

    @property
    def per_datum_checksums(self) -> dict[tuple[str, str], str]:
        """The sha256 of the figures of single data, by run key and evaluator; they are not published."""
        if self.published:
            return {}
        with self._opened() as store:
            return store.per_datum_checksums()

    def front(self, metric: str | None = None, split: str = "test") -> pd.DataFrame:
        """What ranks each row held against the seconds of its training, and which rows are dominated.

        One row for each of the board, the quickest first: `seconds`, `value`, `dominated_by`, which is empty
        on the Pareto front, and there the `gain` over the next quicker one, with its interval from `low` to
        `high` over seeds. Raises as `leaderboard` does.
        """
        return front(self.board(metric, split))

    @property
    def plot(self) -> ResultsPlots:
        """Its pictures: ``results.plot.heatmap("prior", "posterior")`` and others."""
        from lvmbench.api.plots import ResultsPlots

        return ResultsPlots(self)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, one html file that needs nothing else, and return its path.

        Arguments:
            path: The file; by default ``report.html`` in the directory.
        """
        from lvmbench.api.report import write_report
        from lvmbench.execution.local import HereExecutor

        file = self.directory / REPORT if path is None else Path(path)
        write_report(self, file, HereExecutor())
        return file

    def verify(self, sample: int = 3, seed: int | None = None) -> Verification:
        """Hold files, tables and weights to what is on record, and measure some runs again.

        Arguments:
            sample: How many runs to measure again.
            seed: What chooses these; by default another at each call.
        """
        from lvmbench.api.verification import verify

        return verify(self, sample, seed)

    def model(self, run: str | Mapping[str, Any] | pd.Series[Any]) -> LatentVariableModel:
        """The trained model of a run, given by its key or by its row of `records`.

        Raises as `fitted` does.
        """
        return self.fitted(run).model

    def fitted(self, run: str | Mapping[str, Any] | pd.Series[Any]) -> Fitted:
        """The trained model of a run with its data and objective, as `lvmbench.evaluate` takes it.

        Raises `UserError` where there is no such run, it has no weights, its data or the versions of its
        components are no longer those it was trained with, or plugins of it are not to be imported.
        """
        from lvmbench.api.fitted import stored

        row = self._row(run if isinstance(run, str) else str(run["key"]))
        provenance = self._provenance(row)
        catalogue = load_catalogue(self.selection)
        ((latent, *budget),) = names_of(row.to_frame().T, SETTINGS)
        spent = Budget(**dict(zip(SETTINGS[1:], budget, strict=True)))
        combination = Combination({kind: Ref.parse(row[kind]) for kind in PARTS}, latent, spent)
        facts = {str(k): v for k, v in row.dropna().items()}
        seed, folder = int(row["seed"]), self.directory / WEIGHTS
        return stored(catalogue, combination, seed, row["key"], folder, facts, provenance)

    def _provenance(self, row: pd.Series[Any]) -> Mapping[str, Any]:
        """What a run was made with; raises `UserError` where a published board does not say."""
        if not (self.published and self.has_weights):
            with self._opened() as store:
                return store.provenance(row["key"])
        made = of_run(provenance_in(self.directory)["components"], row)
        if made is None:
            raise UserError(
                f"'{self.directory}' does not say what the run '{row['key'][:20]}' was made with; "
                "publish it anew"
            )
        return made

    def _row(self, key: str) -> pd.Series[Any]:
        """The record of a run that has weights, by the beginning of its key."""
        records = self.records
        rows = records[records["key"].str.startswith(key)]
        if len(rows) != 1:
            raise UserError(f"{len(rows)} runs in '{self.directory}' have the key '{key}'; see .records")
        row = rows.iloc[0]
        if row["status"] != "ok":
            raise UserError(f"the run '{key}' has no weights: it is {row['status']} ({row['reason']})")
        return row

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Records and measurements, read at once."""
        if self.published:
            return read_results(self.directory)
        with self._opened() as store:
            return stored_tables(store)

    def _frame(self, table: str) -> pd.DataFrame:
        if self.published:
            return read_table(self.directory / f"{table}.csv")
        with self._opened() as store:
            frame: pd.DataFrame = getattr(store, table)()
            return frame

    def _opened(self) -> Store:
        if self.published:
            raise UserError(
                f"'{self.directory}' is a published board, which has no weights; its README.md says "
                "how to redo it"
            )
        return Store.at(self.directory, self.store)

    def _repr_html_(self) -> str:
        """The number of runs of each status, and the leaderboard."""
        counts = Counter(self.records["status"])
        head = printable(f"{self.directory}: {', '.join(f'{n} {status}' for status, n in counts.items())}")
        return f"<p>{escape(head)}</p>" + to_html(self.board())
