"""Running a suite: plan, train what is due, evaluate what is trained, write the tables."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from lvmbench.combination import Combination
from lvmbench.environment import environment, identifier
from lvmbench.errors import UserError
from lvmbench.execution.jobs import Evaluated, Job, Trained, weights_file
from lvmbench.execution.local import Crash, LocalExecutor, cores
from lvmbench.execution.progress import Progress
from lvmbench.execution.worker import evaluate_job, train_job
from lvmbench.names import Ref
from lvmbench.plan import Plan
from lvmbench.plugins import PluginSelection
from lvmbench.results import export
from lvmbench.status import SETTLED, Status
from lvmbench.store import Store
from lvmbench.suite import Budget


class Reporter(Protocol):
    """What is told about the progress of a run."""

    def start(self, packs: int, workers: int) -> None: ...
    def progress(self, name: str, progress: Progress) -> None: ...
    def finish(self, name: str, counts: Counter[str], reason: str) -> None: ...


@dataclass(frozen=True)
class RunOptions:
    """How to run: device, worker processes (0: in this process; default: one per core), seconds per job, plugins."""

    device: str = "auto"
    jobs: int | None = None
    timeout: float | None = None
    selection: PluginSelection = field(default_factory=PluginSelection)


@dataclass(frozen=True)
class Summary:
    """How a run ended: counts per status, what is not settled, and how long it took."""

    counts: Counter[str]
    evaluations: Counter[str]
    trained: int
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether any run or evaluation needs attention."""
        return any(status not in SETTLED for status in (*self.counts, *self.evaluations))


@dataclass
class _Pack:
    """The runs of one combination that are still to be trained or evaluated."""

    combination: Combination
    keys: dict[int, str]
    untrained: dict[int, str]
    evaluators: dict[int, tuple[Ref, ...]]
    facts: dict[int, Mapping[str, Any]]


def prepare(out: Path) -> None:
    """Make the results directory; raises `UserError` where that or writing to it is not possible."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out: '{out}' is not writable: {error.strerror}; give another directory") from None


def run(
    plan: Plan,
    out: Path,
    store: Store,
    options: RunOptions,
    reporter: Reporter,
    *,
    training: bool = True,
) -> Summary:
    """Do everything of a plan that is not done, and write the tables to ``out``; without ``training`` only evaluate."""
    start = time.monotonic()
    _check_folder(plan, out, store)
    store.claim(plan.suite.name, plan.suite.version)
    _enter(plan, store)
    _keep(plan, out, store, options)
    _note_asked(plan, store, training)
    described = _describe(plan, store)
    packs = _due(plan, store, out / "weights", training)
    trained = sum(len(pack.untrained) for pack in packs)
    try:
        _Session(store, options, out / "weights", described, plan.suite.budget, reporter).run(packs)
    finally:
        export(store, out)
    counts = Counter(store.statuses().values())
    return Summary(counts, Counter(store.evaluations()["status"]), trained, time.monotonic() - start)


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
        metric=plan.suite.metric, plugins=json.dumps([options.selection.extra, options.selection.blocked])
    )
    target = out / "suite.yaml"
    if plan.suite.path.resolve() != target.resolve():
        shutil.copyfile(plan.suite.path, target)


def _note_asked(plan: Plan, store: Store, training: bool) -> None:
    """Keep what the suite asks for now, or which evaluators are added to its own: that is what a board shows."""
    meta, evaluators = store.meta(), [str(evaluator) for evaluator in plan.evaluators]
    if not training:
        added = dict.fromkeys([*json.loads(meta.get("added", "[]")), *evaluators])
        store.note(added=json.dumps(list(added)))
        return
    supports = {str(p.combination["decoder"]): p.support for p in plan.planned if p.support}
    store.note(
        evaluators=json.dumps(evaluators),
        combinations=json.dumps([list(combination.columns.values()) for combination in plan.combinations]),
        supports=json.dumps(json.loads(meta.get("supports", "{}")) | supports),
        patience=str(plan.suite.budget.patience),
    )


def _describe(plan: Plan, store: Store) -> str:
    """Keep the environment, once per call; its identifier."""
    parts = [part for planned in plan.planned for part in planned.provenance.values()]
    content = environment({part["distribution"]: part["version"] for part in parts})
    store.environment(identifier(content), content)
    return identifier(content)


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


def _due(plan: Plan, store: Store, weights: Path, training: bool) -> list[_Pack]:
    """The packs with something still to do."""
    statuses, evaluated, facts = store.statuses(), store.evaluated(), _facts(store)

    def missing(key: str) -> tuple[Ref, ...]:
        return tuple(e for e in plan.evaluators if (key, str(e)) not in evaluated)

    def is_untrained(key: str) -> bool:
        lost = bool(missing(key)) and not weights_file(weights, key).exists()
        status = statuses.get(key)
        return training and (status == Status.INTERRUPTED or (status == Status.OK and lost))

    packs = []
    for planned in plan.planned:
        untrained = {s: k for s, k in planned.keys.items() if is_untrained(k)}
        trained = {
            s: k for s, k in planned.keys.items() if statuses.get(k) == Status.OK and s not in untrained
        }
        evaluators = dict.fromkeys(untrained, plan.evaluators) | {
            s: e for s, k in trained.items() if (e := missing(k))
        }
        if evaluators:
            known = {s: facts[k] for s, k in trained.items()}
            packs.append(_Pack(planned.combination, {**trained, **untrained}, untrained, evaluators, known))
    return packs


def _facts(store: Store) -> dict[str, Mapping[str, Any]]:
    """What is on record of the training of each run, by key; nothing for what is not known."""
    rows = store.records().astype(object)
    return {row["key"]: {str(k): v for k, v in row.dropna().items()} for _, row in rows.iterrows()}


class _Session:
    """The jobs of one call of `run`."""

    def __init__(
        self,
        store: Store,
        options: RunOptions,
        weights: Path,
        described: str,
        budget: Budget,
        reporter: Reporter,
    ) -> None:
        self.store, self.options, self.weights = store, options, weights
        self.described, self.budget, self.reporter = described, budget, reporter

    def run(self, packs: Sequence[_Pack]) -> None:
        """Train each pack, then evaluate it."""
        if not packs:
            return
        workers = min(cores() if self.options.jobs is None else self.options.jobs, len(packs))
        self.reporter.start(len(packs), workers)
        with LocalExecutor[Job](workers, self.options.timeout) as executor:
            for number, pack in enumerate(packs):
                self._submit(executor, number, pack)
            for number, outcome in executor.completed(
                lambda n, p: self.reporter.progress(str(packs[n].combination), p)
            ):
                if self._store(packs[number], outcome):
                    self._submit(executor, number, packs[number], first=True)
                else:
                    self._report(packs[number])

    def _submit(self, executor: LocalExecutor[Job], number: int, pack: _Pack, *, first: bool = False) -> None:
        keys = pack.untrained or pack.keys
        options = self.options
        job = Job(
            pack.combination,
            keys,
            self.budget,
            options.device,
            options.selection,
            self.weights,
            pack.evaluators,
            facts=pack.facts,
        )
        executor.submit(number, train_job if pack.untrained else evaluate_job, job, first=first)

    def _store(self, pack: _Pack, outcome: Any) -> bool:
        """Store the outcome of a job; says whether the pack is to be evaluated next."""
        if not pack.untrained:
            self._store_evaluations(pack, outcome)
            return False
        self._store_training(pack, outcome)
        return bool(pack.evaluators)

    def _store_training(self, pack: _Pack, outcome: list[Trained] | Crash) -> None:
        if isinstance(outcome, Crash):
            outcome = [Trained(seed, outcome.status, outcome.reason) for seed in pack.untrained]
        for result in outcome:
            ending = {"status": result.status, "reason": result.reason, "traceback": result.traceback}
            facts = {**result.facts, **ending, "environment": self.described, "finished": _now()}
            self.store.finish(pack.untrained[result.seed], result.curve, **facts)
            pack.facts[result.seed] = result.facts
            if result.status != Status.OK:
                pack.evaluators.pop(result.seed, None)
        pack.untrained = {}

    def _store_evaluations(self, pack: _Pack, outcome: list[Evaluated] | Crash) -> None:
        if isinstance(outcome, Crash):
            todo = [(seed, str(e)) for seed, evaluators in pack.evaluators.items() for e in evaluators]
            outcome = [Evaluated(seed, name, outcome.status, outcome.reason) for seed, name in todo]
        for result in outcome:
            name = {"key": pack.keys[result.seed], "evaluator": result.evaluator}
            ending = {"status": result.status, "reason": result.reason, "traceback": result.traceback}
            rows = [{**name, **row} for row in result.measurements]
            self.store.add_evaluation({**name, **ending, "seconds": result.seconds}, rows)

    def _report(self, pack: _Pack) -> None:
        endings = self.store.endings(pack.keys.values())
        reasons = [reason for _, reason in endings if reason]
        self.reporter.finish(
            str(pack.combination), Counter(s for s, _ in endings), reasons[0] if reasons else ""
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
