"""A suite made ready to run: what Python's `run` and the command line both go by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvmbench.errors import LvmbenchError, UserError
from lvmbench.execution.options import RunOptions
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.suites.suite import Suite, load_suite

if TYPE_CHECKING:
    from lvmbench.execution.runner import Summary
    from lvmbench.execution.session import Reporter
    from lvmbench.suites.plan import Plan

RESULTS = Path("lvmbench-results")
"""The folder below which results are written, each suite's in one of its own."""


@dataclass(frozen=True)
class Prepared:
    """A plan, and how and where it is run.

    Arguments:
        plan: What is to be run and measured.
        catalogue: The components that its names stand for.
        directory: The results directory.
        store: The URL of the database; by default it is a file in the directory.
        options: Device, worker processes, time limit and plugins.
    """

    plan: Plan
    catalogue: Catalogue
    directory: Path
    store: str | None
    options: RunOptions

    @classmethod
    def of(
        cls,
        suite: str,
        out: str | Path | None,
        options: RunOptions,
        *,
        store: str | None = None,
        seeds: int | Sequence[int] | None = None,
        only: Sequence[str] = (),
    ) -> Prepared:
        """A suite by its name or path; raises `UserError` where it or an option cannot be used."""
        catalogue = load_catalogue(options.selection)
        loaded = _with_seeds(load_suite(suite, catalogue), seeds)
        from lvmbench.suites.plan import make_plan  # torch is imported once the suite can be used
        from lvmbench.training import pick_device

        pick_device(options.device)
        directory = RESULTS / loaded.name if out is None else Path(out)
        return cls(make_plan(loaded, catalogue, only), catalogue, directory, store, options)

    @classmethod
    def again(
        cls, directory: Path, store: str | None, options: RunOptions, *, evaluators: Iterable[str] = ()
    ) -> Prepared:
        """The suite of results that are there, with the plugins and the seeds that they were made with.

        Arguments:
            directory: The results directory.
            store: The URL of its database, where that is not a file in the directory.
            options: How to run it; the plugins are those of the store.
            evaluators: What is measured instead of what the suite asks for.
        """
        from lvmbench.results.folder import plugins_of
        from lvmbench.results.store import Store
        from lvmbench.suites.figures import instruments
        from lvmbench.suites.plan import make_plan
        from lvmbench.training import pick_device

        pick_device(options.device)
        with Store.at(directory, store) as opened:
            options, runs = replace(options, selection=plugins_of(opened)), opened.runs()
        catalogue = load_catalogue(options.selection)
        seeds = sorted({seed for *_, seed in runs}) or None
        suite = _with_seeds(load_suite(str(directory / "suite.yaml"), catalogue), seeds)
        wanted = tuple(_evaluator(name, catalogue) for name in evaluators)
        plan = make_plan(suite, catalogue).restricted(runs)
        if wanted:
            plan = plan.measured_by(instruments(catalogue, wanted), wanted)
        return cls(plan, catalogue, directory, store, options)

    def run(self, reporter: Reporter, *, training: bool = True) -> Summary:
        """Do everything that is not done; without ``training``, only measure."""
        from lvmbench.execution.runner import prepare, run
        from lvmbench.execution.tracking import Trackers, tracker_of
        from lvmbench.results.store import Store

        options = self.options
        refs = [tracker_of(name, self.catalogue) for name in options.trackers]
        with Trackers(refs, options.selection, reporter.say) as trackers:
            prepare(self.directory)
            with Store.at(self.directory, self.store) as store:
                return run(self.plan, self.directory, store, options, reporter, trackers, training=training)


def _with_seeds(suite: Suite, seeds: int | Sequence[int] | None) -> Suite:
    """The suite with other seeds, 0 ... N-1 where their number is given."""
    if seeds is None:
        return suite
    return replace(suite, seeds=tuple(range(seeds) if isinstance(seeds, int) else seeds))


def _evaluator(name: str, catalogue: Catalogue) -> Ref:
    try:
        return catalogue.canonical("evaluator", Ref.parse(name))
    except LvmbenchError as error:
        raise UserError(f"--evaluator: {error}") from None
