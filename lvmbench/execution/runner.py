"""Running a suite: plan, train what is due, evaluate what is trained, write the tables."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lvmbench.errors import UserError
from lvmbench.execution.due import Due, Rest
from lvmbench.execution.environment import environment, identifier
from lvmbench.execution.executor import Executor
from lvmbench.execution.executors import executor_of
from lvmbench.execution.interruption import Interrupted, Interruption
from lvmbench.execution.jobs import Baselines, Fitting, Warming
from lvmbench.execution.options import RunOptions
from lvmbench.execution.packing import packed
from lvmbench.execution.place import Place
from lvmbench.execution.references import due_baselines, fit_baselines
from lvmbench.execution.reporter import Reporter
from lvmbench.execution.session import Session
from lvmbench.execution.tracking import Trackers
from lvmbench.execution.unfinished import expect_own
from lvmbench.results.export import export
from lvmbench.results.folder import REMARKS, links_in, remarks_in
from lvmbench.results.glossary import declared, keep
from lvmbench.results.leases import Leases
from lvmbench.results.store import Store
from lvmbench.results.weights import CHECKPOINTS
from lvmbench.status import SETTLED, Status
from lvmbench.suites.planned import Plan, Planned

WARM_UP = "lvmbench.execution.worker:warm_up"
SHOWN = 5
"""So many runs of which a file cannot be used are named."""


@dataclass(frozen=True)
class Summary:
    """How a run ended: counts per status, how many were trained, why it stopped early, how long it took."""

    counts: Counter[str]
    evaluations: Counter[str]
    trained: int
    stopped: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether any run or evaluation needs attention."""
        return any(status not in SETTLED for status in (*self.counts, *self.evaluations))


def prepare(out: Path) -> None:
    """Make the results directory.

    Raises `UserError` where that or writing to it is not possible, and where what is written there would end
    elsewhere.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out: '{out}' is not writable: {error.strerror}; give another directory") from None
    if links := links_in(out):
        raise UserError(
            f"--out: '{links[0]}' is a symbolic link, and nothing is written through one: put what it leads "
            "to in its place, or remove it"
        )


def run(
    plan: Plan,
    out: Path,
    store: Store,
    options: RunOptions,
    reporter: Reporter,
    trackers: Trackers | None = None,
    *,
    training: bool = True,
    executor: Executor | None = None,
    baselines: Baselines | None = None,
) -> Summary:
    """Do what is not done of a plan, and write the tables to ``out``; without ``training`` only evaluate.

    An ``executor`` that is given is whose it was before, also what it has prepared.
    """
    start, trackers = time.monotonic(), trackers or Trackers()
    place = _enter(plan, out.absolute(), store, options, training)  # wherever components go
    work, outcome = _Work(plan, place, options, reporter, trackers, Interruption()), (0, "")
    trackers.start(plan.suite.name, plan.suite.version, str(place.folder))
    try:
        due = Due(store, place.weights, training)
        fits = due_baselines(baselines or Baselines(), place.folder) if training else []
        if (rests := due.all_of(plan)) or fits:
            outcome = work.do(due, rests, fits, executor)
    finally:
        place.save()
        counts = Counter(store.statuses().values())
        trackers.end(counts)
    if work.interruption.asked:
        raise Interrupted(work.interruption.signal)
    evaluations = Counter(store.evaluations()["status"])
    return Summary(counts, evaluations, *outcome, time.monotonic() - start)


@dataclass(frozen=True)
class _Work:
    """What is done of a plan, where its results are kept, and who follows it."""

    plan: Plan
    place: Place
    options: RunOptions
    reporter: Reporter
    trackers: Trackers
    interruption: Interruption

    def do(
        self, due: Due, rests: Sequence[tuple[Planned, Rest]], fits: Sequence[Fitting], given: Executor | None
    ) -> tuple[int, str]:
        """Train and measure what is due, and fit baselines: how many runs, and why it stopped early."""
        with (
            self.interruption.heard(here=self.options.jobs == 0),
            _lent(given) if given else executor_of(self.options) as executor,
            Leases(self.place.store) as leases,
        ):
            self._prepare(executor, due, rests)
            session = Session(
                due,
                self.place,
                self.options,
                leases,
                executor,
                self.reporter,
                self.trackers,
                self.interruption,
            )
            session.run(self._packs(rests, executor), _allowed(self.options.max_failures, self.plan))
            fit_baselines(fits, self.place.folder, executor, self.options, self.reporter, self.interruption)
        return session.trained, session.stopped

    def _prepare(self, executor: Executor, due: Due, rests: Sequence[tuple[Planned, Rest]]) -> None:
        """Have workers load what the jobs need, and say what there is to do."""
        distributions = _distributions(self.plan) if executor.elsewhere else None
        executor.prepare(WARM_UP, Warming(self.options.selection, _names(rests), distributions))
        _name_lost(due.lost, self.reporter)
        if rests:
            keys = {key for _, rest in rests for key in rest.untrained.values()}
            expect_own(self.place.folder / CHECKPOINTS, keys)
            self.reporter.start(len(rests), _workers(executor, rests, self.options))

    def _packs(self, rests: Sequence[tuple[Planned, Rest]], executor: Executor) -> list[list[Planned]]:
        untrained = [(planned, len(rest.untrained)) for planned, rest in rests]
        return packed(untrained, math.inf if self.options.apart else executor.resources.workers)


@contextmanager
def _lent(executor: Executor) -> Iterator[Executor]:
    """An executor of somebody else's, of which nothing that failed goes on."""
    try:
        yield executor
    except BaseException:
        executor.cancel()
        raise


def _enter(plan: Plan, out: Path, store: Store, options: RunOptions, training: bool) -> Place:
    """Keep what is to be done of a plan, and what it is done with; where its results go."""
    _check_folder(plan, out, store)
    store.claim(plan.suite.name, plan.suite.version)
    _add_runs(plan, store)
    _keep(plan, out, store, options)
    _note_asked(plan, store, training)
    described = _describe(plan, out, store)
    return Place(store, out, described, partial(export, store, out))


def _name_lost(lost: Sequence[str], reporter: Reporter) -> None:
    """Say which runs are trained or measured again, as files of theirs cannot be used."""
    for line in lost[:SHOWN]:
        reporter.say(line)
    if len(lost) > SHOWN:
        reporter.say(f"so it is with {len(lost) - SHOWN} more")


def _names(rests: Sequence[tuple[Planned, Rest]]) -> frozenset[tuple[str, str]]:
    """The components that are to be used, by kind and name."""
    parts = {(kind, ref.name) for planned, _ in rests for kind, ref in planned.combination.refs.items()}
    measuring = {ref for _, rest in rests for refs in rest.evaluators.values() for ref in refs}
    return frozenset(parts | {("evaluator", ref.name) for ref in measuring})


def _workers(executor: Executor, rests: Sequence[tuple[Planned, Rest]], options: RunOptions) -> int:
    """How many processes there are jobs for; 0 if that is this one."""
    jobs = sum(max(1, rest.total) for _, rest in rests)
    return 0 if options.jobs == 0 else min(executor.resources.workers, jobs)


def _allowed(limit: str | None, plan: Plan) -> float:
    """How many failures are borne; a percentage is one of the runs that are planned."""
    if limit is None:
        return math.inf
    runs = sum(len(planned.keys) for planned in plan.planned)
    return float(limit[:-1]) / 100 * runs if limit.endswith("%") else float(limit)


def _check_folder(plan: Plan, out: Path, store: Store) -> None:
    """Refuse a folder where another suite's file would be overwritten."""
    target = out / "suite.yaml"
    unclaimed = "suite" not in store.meta() and target.exists()
    if unclaimed and target.read_bytes() != plan.suite.path.read_bytes():
        raise UserError(
            f"--out: '{target}' is another suite and would be overwritten; give another directory"
        )


def _keep(plan: Plan, out: Path, store: Store, options: RunOptions) -> None:
    """Keep what doing more of the suite later needs."""
    store.note(
        metric=plan.suite.metric or "",
        plugins=json.dumps([options.selection.extra, options.selection.blocked]),
    )
    target = out / "suite.yaml"
    if plan.suite.path.resolve() != target.resolve():
        shutil.copyfile(plan.suite.path, target)


def _note_asked(plan: Plan, store: Store, training: bool) -> None:
    """Keep what the suite asks for now, or which evaluators are added to its own: a board shows that."""
    evaluators = [str(evaluator) for evaluator in plan.evaluators]
    if not training:
        added = dict.fromkeys([*store.noted("added", []), *evaluators])
        store.note(added=json.dumps(list(added)))
        return
    supports = {str(p.combination["decoder"]): p.support for p in plan.planned if p.support}
    store.note(
        evaluators=json.dumps(evaluators),
        spared=json.dumps(_spared(plan, store.noted("spared", {}))),
        combinations=json.dumps([list(combination.columns.values()) for combination in plan.combinations]),
        supports=json.dumps(store.noted("supports", {}) | supports),
    )


def _spared(plan: Plan, before: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The keys of the runs that an evaluator of the suite is not for, also of those planned before."""
    spared = {}
    for evaluator in plan.evaluators:
        keys = {key: evaluator in p.evaluators for p in plan.planned for key in p.keys.values()}
        elsewhere = (key for key in before.get(str(evaluator), ()) if key not in keys)
        if found := [*elsewhere, *(key for key, asked in keys.items() if not asked)]:
            spared[str(evaluator)] = found
    return spared


def _describe(plan: Plan, out: Path, store: Store) -> str:
    """Keep what figures and data are like, and the environment, once per call; its identifier."""
    keep(declared(plan.instruments), out)
    content = environment(_distributions(plan))
    if plan.remarks:
        remarks = json.dumps({**remarks_in(out), **plan.remarks}, indent=2)
        (out / REMARKS).write_text(remarks + "\n", encoding="utf-8")
    store.environment(identifier(content), content)
    return identifier(content)


def _distributions(plan: Plan) -> dict[str, str]:
    """What the components of a plan come from, by version."""
    parts = (part for planned in plan.planned for part in _with_bases(planned.provenance))
    return {part["distribution"]: part["version"] for part in parts}


def _with_bases(provenance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What is recorded of each part, and of the components that it is made of."""
    for part in provenance.values():
        yield part
        yield from _with_bases(part.get("bases", {}))


def _add_runs(plan: Plan, store: Store) -> None:
    """Give every planned run its record, before anything is trained."""
    rows = []
    for position, planned in enumerate(plan.planned):
        shared = {
            "position": position,
            "suite": plan.suite.name,
            "suite_version": plan.suite.version,
            **planned.combination.columns,
            "status": planned.status or Status.INTERRUPTED,
            "reason": planned.reason if planned.status else "not finished yet",
            "parameters": planned.parameters,
            "provenance": dict(planned.provenance),
        }
        rows += [{**shared, "key": key, "seed": seed} for seed, key in planned.keys.items()]
    store.add_runs(rows)
