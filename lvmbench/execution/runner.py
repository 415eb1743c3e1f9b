"""Running a suite: plan, train what is due, evaluate what is trained, write the tables."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from lvmbench.execution.jobs import Baselines, Warming
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
from lvmbench.results.weights import CHECKPOINTS, WEIGHTS
from lvmbench.status import SETTLED, Status
from lvmbench.suites.planned import Plan, Planned

WARM_UP = "lvmbench.execution.worker:warm_up"
SHOWN = 5
"""So many runs of which a file cannot be used are named."""


@dataclass(frozen=True)
class Summary:
    """How a run ended: counts per status, what is not settled, how long it took, why it stopped early."""

    counts: Counter[str]
    evaluations: Counter[str]
    trained: int
    seconds: float
    stopped: str = ""

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
    """Do what is not done of a plan, and write the tables to ``out``; without ``training`` only evaluate."""
    start, interruption, trackers = time.monotonic(), Interruption(), trackers or Trackers()
    out = out.absolute()  # wherever components go
    _check_folder(plan, out, store)
    store.claim(plan.suite.name, plan.suite.version)
    _enter(plan, store)
    _keep(plan, out, store, options)
    _note_asked(plan, store, training)
    described = _describe(plan, out, store)
    place = Place(store, out / WEIGHTS, described, partial(export, store, out))
    due = Due(store, place.weights, training)
    trained, stopped = 0, ""
    trackers.start(plan.suite.name, plan.suite.version, str(out))
    try:
        fits = due_baselines(baselines or Baselines(), out) if training else []
        if (rests := due.all_of(plan)) or fits:
            workplace = executor or executor_of(options)
            with interruption.heard(here=options.jobs == 0), workplace, Leases(store) as leases:
                distributions = _distributions(plan) if workplace.elsewhere else None
                workplace.prepare(WARM_UP, Warming(options.selection, _names(rests), distributions))
                _name_lost(due.lost, reporter)
                if rests:
                    expect_own(out / CHECKPOINTS, {k for _, rest in rests for k in rest.untrained.values()})
                    reporter.start(len(rests), _workers(workplace, rests, options))
                session = Session(due, place, options, leases, workplace, reporter, trackers, interruption)
                untrained = [(planned, len(rest.untrained)) for planned, rest in rests]
                packs = packed(untrained, math.inf if options.apart else workplace.resources.workers)
                session.run(packs, _allowed(options.max_failures, plan))
                trained, stopped = session.trained, session.stopped
                fit_baselines(fits, out, workplace, options, reporter, interruption)
    finally:
        export(store, out)
        counts = Counter(store.statuses().values())
        trackers.end(counts)
    if interruption.asked:
        raise Interrupted(interruption.signal)
    evaluations = Counter(store.evaluations()["status"])
    return Summary(counts, evaluations, trained, time.monotonic() - start, stopped)


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


def _enter(plan: Plan, store: Store) -> None:
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
