"""A suite made ready to run: what Python's `run` and the command line both go by."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lvmbench.execution.options import RunOptions

if TYPE_CHECKING:
    from lvmbench.execution.executor import Executor
    from lvmbench.execution.planning import Answer, Request
    from lvmbench.execution.reporter import Reporter
    from lvmbench.execution.runner import Summary
    from lvmbench.results.consent import Consent
    from lvmbench.suites.planned import Plan

RESULTS = Path("lvmbench-results")
"""The folder below which results are written, each suite's in one of its own."""


@dataclass(frozen=True)
class Prepared:
    """A plan, and how and where it is run; leaving a ``with`` ends its processes.

    Arguments:
        answer: What is to be run and measured, and what is wrong with plugins.
        directory: The results directory.
        store: The URL of the database; by default it is a file in the directory.
        options: Device, worker processes, limits and plugins.
        executor: Where it is to be done; and was planned, unless that is on other machines.
    """

    answer: Answer
    directory: Path
    store: str | None
    options: RunOptions
    executor: Executor

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
        runs: bool = True,
    ) -> Prepared:
        """A suite by its name or path, to be run or only to be planned; raises `UserError` where it or an
        option cannot be used.
        """
        from lvmbench.execution.planning import Request

        request = Request(suite, options, seeds, only)
        return cls._planned(request, out, store, options, runs=runs)

    @classmethod
    def again(
        cls,
        directory: Path,
        store: str | None,
        options: RunOptions,
        *,
        trust: bool = False,
        evaluators: Iterable[str] = (),
    ) -> Prepared:
        """The suite of results that are there, with the plugins and the seeds that they were made with.

        Arguments:
            directory: The results directory.
            store: The URL of its database, where that is not a file in the directory.
            options: How to run it; its plugins are allowed to stand for those that the store names.
            trust: Whether all that the store names are allowed.
            evaluators: What is measured instead of what the suite asks for.

        Raises `UserError` as `of` does, and for plugins that are not allowed.
        """
        from lvmbench.execution.planning import Request
        from lvmbench.results.consent import Consent
        from lvmbench.results.folder import plugins_of
        from lvmbench.results.store import Store

        with Store.at(directory, store) as opened:
            selection = Consent(options.selection, trust).to(plugins_of(opened))
            options, runs = replace(options, selection=selection), opened.runs()
        seeds = sorted({seed for *_, seed in runs}) or None
        suite, wanted = str(directory / "suite.yaml"), tuple(evaluators)
        request = Request(suite, options, seeds, evaluators=wanted)
        prepared = cls._planned(request, directory, store, options)
        restricted = replace(prepared.answer, plan=prepared.plan.restricted(runs))
        return replace(prepared, answer=restricted)

    @classmethod
    def _planned(
        cls,
        request: Request,
        out: str | Path | None,
        store: str | None,
        options: RunOptions,
        *,
        runs: bool = True,
    ) -> Prepared:
        from lvmbench.execution.executors import executor_of
        from lvmbench.execution.local import LocalExecutor
        from lvmbench.execution.planning import plan_in

        with ExitStack() as ending:
            executor = ending.enter_context(executor_of(options))
            if runs:  # what that needs here takes as long to import as it takes until workers are ready
                importlib.import_module("lvmbench.execution.runner")
            with LocalExecutor(1) if executor.elsewhere else nullcontext(executor) as planner:
                answer = plan_in(planner, replace(request, elsewhere=executor.elsewhere), options.timeout)
            ending.pop_all()
        directory = RESULTS / answer.plan.suite.name if out is None else Path(out)
        return cls(answer, directory, store, options, executor)

    @property
    def consent(self) -> Consent:
        """The plugins that it was planned with may be imported again."""
        from lvmbench.results.consent import Consent

        return Consent(self.options.selection)

    @property
    def plan(self) -> Plan:
        """What is to be run and measured."""
        return self.answer.plan

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.executor.__exit__(kind, error, where)

    def run(self, reporter: Reporter, *, training: bool = True) -> Summary:
        """Do everything that is not done; without ``training``, only measure."""
        from lvmbench.execution.profiling import Profiled
        from lvmbench.execution.runner import prepare, run
        from lvmbench.execution.tracking import Trackers
        from lvmbench.results.store import Store

        answer, options = self.answer, self.options
        with Trackers(answer.trackers, options.selection, reporter.say) as trackers:
            prepare(self.directory)
            timed = Profiled(self.executor, self.directory) if options.profile else nullcontext(self.executor)
            with Store.at(self.directory, self.store) as store, timed as executor:
                where = (self.directory, store, options, reporter, trackers)
                return run(
                    answer.plan, *where, training=training, executor=executor, baselines=answer.baselines
                )
