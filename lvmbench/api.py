"""lvmbench from Python: run a suite, read its results; fit one model and measure it."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvmbench.combination import KINDS, Combination
from lvmbench.errors import UserError
from lvmbench.fitting import Fitted
from lvmbench.fitting import evaluate as evaluate
from lvmbench.fitting import fit as fit
from lvmbench.leaderboard import leaderboard
from lvmbench.names import Ref
from lvmbench.plan import make_plan
from lvmbench.plugins import PluginSelection, load_catalogue
from lvmbench.render import Section, caption, sections
from lvmbench.runner import RunOptions, prepare
from lvmbench.runner import run as run_plan
from lvmbench.store import Store
from lvmbench.suite import Suite, load_suite
from lvmbench.training import pick_device

if TYPE_CHECKING:
    import pandas as pd

    from lvmbench.catalogue import Catalogue
    from lvmbench.model import LatentVariableModel


class Silent:
    """A reporter that says nothing."""

    def start(self, packs: int, workers: int) -> None: ...
    def progress(self, name: str, progress: object) -> None: ...
    def finish(self, name: str, counts: Counter[str], reason: str) -> None: ...


@dataclass(frozen=True)
class Results:
    """The results of a suite in a directory; tables are read anew each time they are asked for.

    Arguments:
        directory: Where ``lvmbench run`` or `run` wrote them.
    """

    directory: Path

    @property
    def records(self) -> pd.DataFrame:
        """One row per run, whatever became of it."""
        return self._frame("records")

    @property
    def measurements(self) -> pd.DataFrame:
        """One row per figure, with the columns that name its run."""
        return self._frame("measurements")

    @property
    def evaluations(self) -> pd.DataFrame:
        """One row per evaluator and run, with status and reason."""
        return self._frame("evaluations")

    @property
    def curves(self) -> pd.DataFrame:
        """The learning curves: key, epoch, train_bound, validation_bound."""
        return self._frame("curves")

    def leaderboard(self, metric: str | None = None) -> pd.DataFrame:
        """One row per combination and data set, ranked by the suite's metric or another.

        Raises `UserError` for a metric that was not measured.
        """
        with self._store() as store:
            return leaderboard(
                store.records(), store.measurements(), metric=metric or store.meta().get("metric")
            )

    def model(self, run: str | Mapping[str, Any] | pd.Series[Any]) -> LatentVariableModel:
        """The trained model of a run, given by its key or its row of `records`; see `fitted`."""
        return self.fitted(run).model

    def fitted(self, run: str | Mapping[str, Any] | pd.Series[Any]) -> Fitted:
        """The trained model of a run with its data and objective, as `lvmbench.evaluate` takes it.

        Raises `UserError` where there is no such run, or it has no weights.
        """
        row = self._row(run if isinstance(run, str) else run["key"])
        with self._store() as store:
            extra, blocked = json.loads(store.meta().get("plugins", "[[], []]"))
        catalogue = load_catalogue(PluginSelection(tuple(extra), tuple(blocked)))
        refs = {kind: Ref.parse(row[kind]) for kind in KINDS}
        combination = Combination(refs, int(row["latent"]))
        return Fitted.stored(
            catalogue, combination, int(row["seed"]), row["key"], self.directory / "weights"
        )

    def _row(self, key: str) -> pd.Series[Any]:
        records = self.records
        found = records[records["key"].str.startswith(key)]
        if len(found) != 1:
            raise UserError(f"{len(found)} runs in '{self.directory}' have the key '{key}'; take one of .records")
        row: pd.Series[Any] = found.iloc[0]
        if row["status"] != "ok":
            raise UserError(f"the run '{key[:20]}' has no weights: it is {row['status']} ({row['reason']})")
        return row

    def _frame(self, table: str) -> pd.DataFrame:
        with self._store() as store:
            frame: pd.DataFrame = getattr(store, table)()
            return frame

    @contextmanager
    def _store(self) -> Iterator[Store]:
        with closing(Store.at(self.directory)) as store:
            yield store

    def _repr_html_(self) -> str:
        """The counts per status and the leaderboard."""
        counts = Counter(self.records["status"])
        head = f"<p>{escape(str(self.directory))}: {', '.join(f'{n} {s}' for s, n in counts.items())}</p>"
        return head + "".join(_html(section) for section in sections(self.leaderboard()))


def _html(section: Section) -> str:
    """One data set's table."""
    header = "".join(f"<th>{escape(name)}</th>" for name in section.columns)
    rows = zip(*section.columns.values(), strict=True)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    holes = [f"{hole.status}: {', '.join(hole.combinations)} ({hole.reason})" for hole in section.holes]
    below = "<br>".join(escape(line) for line in (caption(section), *section.notes, *holes) if line)
    return f"<table><caption>{escape(section.dataset)}</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table><p>{below}</p>"
