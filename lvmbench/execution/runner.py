"""Running a suite: plan, train what is due, evaluate what is trained, write the tables."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from lvmbench.combinations.combination import Combination
from lvmbench.errors import UserError
from lvmbench.execution.environment import environment, identifier
from lvmbench.execution.jobs import Evaluated, Job, Measuring, Trained, weights_file
from lvmbench.execution.local import Crash, LocalExecutor, cores
from lvmbench.execution.options import RunOptions
from lvmbench.execution.progress import Progress, ProgressFile
from lvmbench.execution.worker import evaluate_job, train_job
from lvmbench.registry.names import Ref
from lvmbench.results.export import export
from lvmbench.results.folder import REMARKS, remarks_in
from lvmbench.results.store import Store
from lvmbench.status import SETTLED, Status
from lvmbench.suites.plan import Plan, Planned


class Reporter(Protocol):
    """What is told about the progress of a run."""

    def start(self, packs: int, workers: int) -> None: ...
    def progress(self, name: str, progress: Progress) -> None: ...
    def finish(self, name: str, counts: Counter[str], reason: str) -> None: ...


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
    done: int = 0

    @property
    def total(self) -> int:
        """How many measurements are to be made of its runs."""
        return sum(len(evaluators) for evaluators in self.evaluators.values())


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
    """Do what is not done of a plan, and write the tables to ``out``; without ``training`` only evaluate."""
    start = time.monotonic()
    _check_folder(plan, out, store)
    store.claim(plan.suite.name, plan.suite.version)
    _enter(plan, store)
    _keep(plan, out, store, options)
    _note_asked(plan, store, training)
    described = _describe(plan, out, store)
    due = _Due(store, out / "weights", training)
    packs = [pack for planned in plan.planned if (pack := due.pack(planned))]
    trained = sum(len(pack.untrained) for pack in packs)
    try:
        _Session(store, options, out / "weights", described, reporter).run(packs)
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
    """Keep what the suite asks for now, or which evaluators are added to its own: a board shows that."""
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
    )


def _describe(plan: Plan, out: Path, store: Store) -> str:
    """Keep the environment, once per call; its identifier."""
    parts = [part for planned in plan.planned for part in _with_bases(planned.provenance)]
    content = environment({part["distribution"]: part["version"] for part in parts})
    if plan.remarks:
        remarks = json.dumps({**remarks_in(out), **plan.remarks}, indent=2)
        (out / REMARKS).write_text(remarks + "\n", encoding="utf-8")
    store.environment(identifier(content), content)
    return identifier(content)


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


class _Due:
    """What is still to do of a plan, by the store; without ``training`` only what evaluators ask."""

    def __init__(self, store: Store, weights: Path, training: bool) -> None:
        self.weights, self.training = weights, training
        self.statuses, self.evaluated, self.facts = store.statuses(), store.evaluated(), _facts(store)

    def pack(self, planned: Planned) -> _Pack | None:
        """The runs of a combination that are to be trained or measured, if there are any."""
        untrained = {
            s: k for s, k in planned.keys.items() if self.training and self._is_untrained(planned, k)
        }
        ok = {s: k for s, k in planned.keys.items() if self.statuses.get(k) == Status.OK}
        trained = {s: k for s, k in ok.items() if s not in untrained}
        evaluators = {s: self._all(planned, k) for s, k in untrained.items()}
        evaluators |= {s: missing for s, k in trained.items() if (missing := self._missing(planned, k))}
        if not evaluators:
            return None
        facts = {s: self.facts[k] for s, k in trained.items()}
        return _Pack(planned.combination, {**trained, **untrained}, untrained, evaluators, facts)

    def _is_untrained(self, planned: Planned, key: str) -> bool:
        """Whether a run was never trained, lacked something that is there now, or lost weights it needs."""
        status = self.statuses.get(key)
        if status == Status.OK:
            return bool(self._missing(planned, key)) and not weights_file(self.weights, key).exists()
        return status == Status.INTERRUPTED or (status == Status.UNAVAILABLE and not planned.status)

    def _all(self, planned: Planned, key: str) -> tuple[Ref, ...]:
        """The evaluators of a combination, and those that were asked to measure a run beside them."""
        return tuple(dict.fromkeys([*planned.evaluators, *map(Ref.parse, self.evaluated.get(key, {}))]))

    def _missing(self, planned: Planned, key: str) -> tuple[Ref, ...]:
        """The evaluators that are still to measure a run."""
        candidates = self._all(planned, key) if self.training else planned.evaluators
        return tuple(e for e in candidates if self._is_unmeasured(planned, key, str(e)))

    def _is_unmeasured(self, planned: Planned, key: str, evaluator: str) -> bool:
        """Whether an evaluator has not measured a run, or lacked something and does not say so any more."""
        status, reason = self.evaluated.get(key, {}).get(evaluator, (Status.INTERRUPTED, ""))
        is_back = planned.refused_evaluators.get(evaluator) != reason
        return status == Status.INTERRUPTED or (status == Status.UNAVAILABLE and is_back)


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
        reporter: Reporter,
    ) -> None:
        self.store, self.options, self.weights = store, options, weights
        self.described, self.reporter = described, reporter
        self.tasks: list[tuple[_Pack, Job | Measuring]] = []

    def run(self, packs: Sequence[_Pack]) -> None:
        """Train each pack, then measure its runs; each result is stored as soon as there is one."""
        if not packs:
            return
        most = cores() if self.options.jobs is None else self.options.jobs
        workers = min(most, max(len(packs), sum(pack.total for pack in packs)))
        self.reporter.start(len(packs), workers)
        with LocalExecutor[Any](workers, self.options.timeout) as executor:
            for pack in packs:
                self._submit(executor, pack)
            for number, outcome in executor.completed(self._tell):
                self._store(executor, *self.tasks[number], outcome)

    def _submit(self, executor: LocalExecutor[Any], pack: _Pack, *, first: bool = False) -> None:
        """Queue the training of a pack, or else its measurements; ``first`` puts them before the rest."""
        if pack.untrained:
            self._queue(executor, train_job, pack, self._job(pack, pack.untrained), first)
            return
        job = self._job(pack, pack.keys)
        todo = [Measuring(job, s, e, pack.facts[s]) for s, refs in pack.evaluators.items() for e in refs]
        for work in reversed(todo) if first else todo:
            self._queue(executor, evaluate_job, pack, work, first)

    def _job(self, pack: _Pack, keys: Mapping[int, str]) -> Job:
        options = self.options
        return Job(pack.combination, keys, options.device, options.selection, self.weights)

    def _queue(
        self,
        executor: LocalExecutor[Any],
        work: Callable[[Any, ProgressFile], Any],
        pack: _Pack,
        task: Job | Measuring,
        first: bool,
    ) -> None:
        executor.submit(len(self.tasks), work, task, first=first)
        self.tasks.append((pack, task))

    def _tell(self, number: int, news: Progress) -> None:
        """Pass on how far a task has got; a measurement is one of all those of its pack."""
        pack, task = self.tasks[number]
        if isinstance(task, Measuring):
            news = replace(news, done=pack.done, total=pack.total)
        self.reporter.progress(str(pack.combination), news)

    def _store(self, executor: LocalExecutor[Any], pack: _Pack, task: Job | Measuring, outcome: Any) -> None:
        """Store what a task gave, and go on with its pack."""
        if isinstance(task, Measuring):
            self._store_evaluation(pack, task, outcome)
        else:
            self._store_training(pack, outcome)
            self._submit(executor, pack, first=True)
        if pack.done == pack.total:
            self._report(pack)

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

    def _store_evaluation(self, pack: _Pack, task: Measuring, outcome: Evaluated | Crash) -> None:
        if isinstance(outcome, Crash):
            outcome = Evaluated(task.seed, str(task.evaluator), outcome.status, outcome.reason)
        name = {"key": pack.keys[outcome.seed], "evaluator": outcome.evaluator}
        ending = {"status": outcome.status, "reason": outcome.reason, "traceback": outcome.traceback}
        rows = [{**name, **row} for row in outcome.measurements]
        self.store.add_evaluation({**name, **ending, "seconds": outcome.seconds}, rows)
        pack.done += 1
        progress = Progress(f"evaluate {task.evaluator.name}", pack.done, pack.total)
        self.reporter.progress(str(pack.combination), progress)

    def _report(self, pack: _Pack) -> None:
        endings = self.store.endings(pack.keys.values())
        reasons = [reason for _, reason in endings if reason]
        self.reporter.finish(
            str(pack.combination), Counter(s for s, _ in endings), reasons[0] if reasons else ""
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
