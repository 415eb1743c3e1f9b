"""What a worker does: train a pack, or apply an evaluator to stored weights."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from lvmbench.combinations.combination import run_keys
from lvmbench.combinations.parts import DataCache, Parts, build, identity
from lvmbench.combinations.requirements import capabilities, refusal
from lvmbench.data.tensors import write_tensors
from lvmbench.dataset import Data
from lvmbench.errors import LvmbenchError, Refusal
from lvmbench.evaluator import Evaluator, Measurement
from lvmbench.execution.checkpoints import Checkpoints
from lvmbench.execution.encodings import Kept
from lvmbench.execution.environment import environment
from lvmbench.execution.executor import Tell
from lvmbench.execution.fates import crash_of, unkept
from lvmbench.execution.jobs import Evaluated, Job, Measuring, Run, Trained, Warming
from lvmbench.execution.measuring import check_suits, figures, subject_of
from lvmbench.execution.progress import Progress
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.sandbox import noted
from lvmbench.results.per_datum import per_datum_file, tensor_name
from lvmbench.results.weights import read_weights
from lvmbench.stages import stage
from lvmbench.status import Status
from lvmbench.training import Epoch, SeedResult, pick_device, restore, train
from lvmbench.training.memory import PeakMemory, keep_freed_memory


@functools.lru_cache(maxsize=1)
def world(selection: PluginSelection) -> tuple[Catalogue, DataCache]:
    """The plugins and data sets of this process."""
    with stage("import"):
        catalogue = load_catalogue(selection)
    return catalogue, DataCache(catalogue)


def warm_up(job: Warming, tell: Tell) -> dict[str, Any] | None:
    """Load plugins and the components that are to be used, so that no job's time is spent on it.

    What another machine than the runner's is like; raises `LvmbenchError` where its distributions differ.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    catalogue, _ = world(job.selection)
    for kind, name in job.names:
        with stage("import"), suppress(Exception):  # what cannot be loaded is told by the jobs that need it
            catalogue.entry(kind, name).load()
    return None if job.distributions is None else _described(catalogue, job.distributions)


def _described(catalogue: Catalogue, wanted: Mapping[str, str]) -> dict[str, Any]:
    """This machine, which is to have these versions of distributions."""
    here = {entry.distribution: entry.version for entry in catalogue.entries()}
    for name, version in wanted.items():
        if name not in here:
            broken = (f": {problem}" for problem in catalogue.problems if problem.distribution == name)
            raise LvmbenchError(
                f"the plugin {name} {version} is missing{''.join(broken)}; install it there too"
            )
        if here[name] != version:
            raise LvmbenchError(
                f"{name} has version {here[name]}, and the suite was planned with {version}; install the same"
            )
    return environment({name: here[name] for name in wanted})


def train_job(job: Job, tell: Tell) -> list[Trained]:
    """Train a pack and store the best weights of each run.

    A run whose parts cannot be built, or do not suit each other, ends alone; the rest of what goes wrong is
    raised.
    """
    remarks = list[str]()
    with noted(remarks):
        trained = _train(job, tell)
    return [replace(t, reason=t.reason or "; ".join(remarks)) for t in trained]


def _train(job: Job, tell: Tell) -> list[Trained]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    catalogue, cache = world(job.selection)
    with stage("load"):
        data, device = cache[job.runs[0].combination["dataset"]], pick_device(job.device)
    with stage("build"):
        built, failed = _built(catalogue, job, data)
    if not built:
        return failed
    runs, parts = [*built], [*built.values()]
    budget, seeds = runs[0].combination.budget, [run.seed for run in runs]
    rates = [run.combination.budget.learning_rate for run in runs]

    def on_epoch(epoch: Epoch) -> None:
        finite = [v for v in epoch.validation.values() if math.isfinite(v)]
        bound = fmean(finite) if finite else None
        bounds = {runs[i].key: (epoch.train[i], validation) for i, validation in epoch.validation.items()}
        tell(Progress("train", epoch.epoch, budget.epochs, bound, ((epoch.epoch, bounds),)))

    memory = PeakMemory(device)
    checkpoints = _checkpoints(catalogue, job, runs, data, tell, started)
    results = train(
        parts,
        seeds,
        data,
        budget,
        device,
        on_epoch,
        rates=rates,
        checkpoints=checkpoints,
        stacked=job.stacked,
    )
    shared = {
        "started": checkpoints.started,
        "parameters": parts[0].model.parameters_count,
        "device": str(device),
        "pack": len(runs),
        **memory.facts,
    }
    return failed + [_trained(job, *each, shared) for each in zip(runs, results, strict=True)]


def _trained(job: Job, run: Run, result: SeedResult, shared: Mapping[str, Any]) -> Trained:
    """How a run ended, whose best weights are stored; ``shared`` is what is on record of all of its pack."""
    ok = result.status == Status.OK
    facts = {
        **shared,
        "trained_epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "stopped": result.stopped,
        "train_seconds": round(result.seconds, 3),
        "weights_sha256": keep(result.weights, job.weights_file(run)) if ok else None,
    }
    return Trained(run.key, Status(result.status), result.reason, None, facts, tuple(result.curve))


def _checkpoints(
    catalogue: Catalogue, job: Job, runs: Sequence[Run], data: Data, tell: Tell, started: str
) -> Checkpoints:
    """Where the training of a pack goes on from, and is saved."""
    epochs = runs[0].combination.budget.epochs

    def say(text: str) -> None:
        tell(Progress("train", 0, epochs, said=(text,)))

    keys, courses = [run.key for run in runs], [_course(catalogue, run, data) for run in runs]
    return Checkpoints(job.checkpoints, keys, courses, job.checkpoint, job.keep, say, started)


def _course(catalogue: Catalogue, run: Run, data: Data) -> str:
    """What a run has in common with those of other epochs and patience."""
    course = {"budget": run.combination.budget.course}
    known = {**identity(catalogue, run.combination, data), **course}
    return run_keys(run.combination, [run.seed], known)[run.seed]


def _built(catalogue: Catalogue, job: Job, data: Data) -> tuple[dict[Run, Parts], list[Trained]]:
    """The parts of each run, and of those that cannot be built what became of them."""
    built, failed = dict[Run, Parts](), list[Trained]()
    for run in job.runs:
        try:
            parts = build(catalogue, run.combination, data, run.seed)
            if reason := refusal(data, parts, run.combination):
                raise Refusal(reason)
            built[run] = parts
        except Exception as error:
            if len(job.runs) == 1:
                raise
            crash = crash_of(error)
            failed.append(Trained(run.key, crash.status, crash.reason, crash.traceback))
    return built, failed


def evaluate_job(work: Measuring, tell: Tell) -> Evaluated:
    """Apply an evaluator to stored weights; what goes wrong is raised."""

    def told(share: float) -> None:
        tell(Progress(f"evaluate {work.evaluator.name} {share:.0%}", 0, 1))

    told(0.0)
    start, remarks, name = time.perf_counter(), list[str](), str(work.evaluator)
    with noted(remarks):
        measurements, sha256 = _measure(work.job, work, told)
    seconds = time.perf_counter() - start
    return Evaluated(name, Status.OK, "; ".join(remarks), None, seconds, measurements, sha256)


def _measure(
    job: Job, work: Measuring, tell: Callable[[float], None]
) -> tuple[tuple[dict[str, Any], ...], str | None]:
    """The figures of an evaluator, and the checksum of those of single data where it gives such."""
    catalogue, cache = world(job.selection)
    run, ref = work.run, work.evaluator
    combination, seed = run.combination, run.seed
    weights, sha256 = job.weights_file(run), work.facts.get("weights_sha256")
    with stage("load"):
        data = cache[combination["dataset"]]
    with stage("build"):
        evaluator: Evaluator = catalogue.build("evaluator", ref)
        parts = build(catalogue, combination, data, seed)
        provided = capabilities(data, parts, measured=True)
    check_suits(evaluator, ref, provided, combination, data)
    with stage("load"):
        restore(parts, read_weights(weights, sha256))
    device = pick_device(job.device)
    parts.ready(device)
    kept = _kept(weights, sha256, work.split, str(device), evaluator.precision)
    where = (seed, work.split, device, work.facts, kept)
    subject = subject_of(catalogue, combination, parts, data, provided, *where)
    with stage("evaluation"):
        measurements, rows = figures(evaluator, replace(subject, tell=tell))
    return rows, _keep_per_datum(measurements, per_datum_file(job.weights, run.key, str(ref)))


@functools.lru_cache(maxsize=1)
def _kept(weights: Path, sha256: str | None, split: str, device: str, precision: str) -> Kept:
    """What this process has found of the data of the run that it measured last."""
    return {}


def _keep_per_datum(measurements: Iterable[Measurement], file: Path) -> str | None:
    """Store the figures of single data beside the weights, one file per evaluator; its checksum."""
    tensors = {
        tensor_name(m.metric, m.variant, m.method): m.per_datum.detach().cpu()
        for m in measurements
        if m.per_datum is not None
    }
    return keep(tensors, file) if tensors else None


def keep(tensors: Mapping[str, torch.Tensor], path: Path) -> str:
    """Write tensors; the sha256 of their file.

    Raises `fates.Unkept` where there is no place for them, for which no method is to blame.
    """
    try:
        with stage("store"):
            return write_tensors(tensors, path)
    except OSError as error:
        raise unkept(path.parent, error) from error
