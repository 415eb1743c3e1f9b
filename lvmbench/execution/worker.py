"""What a worker does: train a pack, or apply an evaluator to stored weights."""

from __future__ import annotations

import functools
import math
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load

from lvmbench.combinations.parts import DataCache, build
from lvmbench.combinations.requirements import capabilities, refusal
from lvmbench.data.tensors import write_tensors
from lvmbench.errors import LvmbenchError, Refusal, Unavailable
from lvmbench.evaluator import Evaluator, Measurement
from lvmbench.execution.jobs import Evaluated, Job, Measuring, Trained
from lvmbench.execution.measuring import check_suits, figures, subject_of
from lvmbench.execution.progress import Progress, ProgressFile
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.sandbox import noted
from lvmbench.status import Status, answered
from lvmbench.training import Epoch, pick_device, restore, train
from lvmbench.training.memory import PeakMemory


@functools.lru_cache(maxsize=1)
def _world(selection: PluginSelection) -> tuple[Catalogue, DataCache]:
    """The plugins and data sets of this process."""
    catalogue = load_catalogue(selection)
    return catalogue, DataCache(catalogue)


def train_job(job: Job, progress: ProgressFile) -> list[Trained]:
    """Train a pack and store each seed's best weights; what goes wrong becomes a status."""
    seeds, remarks = tuple(job.keys), list[str]()
    try:
        with noted(remarks):
            trained = _train(job, seeds, progress)
    except (Exception, SystemExit) as error:
        return [Trained(seed, *_ending(error)) for seed in seeds]
    return [replace(t, reason=t.reason or "; ".join(remarks)) for t in trained]


def _train(job: Job, seeds: tuple[int, ...], progress: ProgressFile) -> list[Trained]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    catalogue, cache = _world(job.selection)
    data, device = cache[job.combination["dataset"]], pick_device(job.device)
    parts = [build(catalogue, job.combination, data, seed) for seed in seeds]
    if reason := refusal(data, parts[0], job.combination):
        raise Refusal(reason)

    def on_epoch(epoch: Epoch) -> None:
        finite = [v for v in epoch.validation.values() if math.isfinite(v)]
        bound = fmean(finite) if finite else None
        progress.write(Progress("train", epoch.epoch, job.combination.budget.epochs, bound))

    memory = PeakMemory(device)
    results = train(parts, seeds, data, job.combination.budget, device, on_epoch)
    peak = memory.facts
    trained = []
    for result in results:
        if result.status == Status.OK:
            write_tensors(result.weights, job.weights_file(result.seed))
        facts: dict[str, Any] = {
            "started": started,
            "trained_epochs": result.epochs,
            "best_epoch": result.best_epoch,
            "stopped": result.stopped,
            "train_seconds": round(result.seconds, 3),
            "parameters": parts[0].model.parameters_count,
            "device": str(device),
            "pack": len(seeds),
            **peak,
        }
        trained.append(
            Trained(result.seed, Status(result.status), result.reason, None, facts, tuple(result.curve))
        )
    return trained


def _ending(error: BaseException) -> tuple[Status, str, str | None]:
    """What became of work that raised: status, reason and, where it is not a plain answer, traceback."""
    if isinstance(error, Refusal | Unavailable):
        return answered(error), str(error), None
    status = Status.OOM if _is_out_of_memory(error) else Status.FAILED
    return status, reason_of(error), "".join(traceback.format_exception(error))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was spent; for other memory than CUDA's, torch says so in the words of a plain error."""
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def reason_of(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, LvmbenchError) else f"{type(error).__name__}: {text}"[:500]


def evaluate_job(work: Measuring, progress: ProgressFile) -> Evaluated:
    """Apply an evaluator to stored weights; what goes wrong becomes a status."""

    def tell(share: float) -> None:
        progress.write(Progress(f"evaluate {work.evaluator.name} {share:.0%}", 0, 1))

    tell(0.0)
    start, remarks, name = time.perf_counter(), list[str](), str(work.evaluator)
    try:
        with noted(remarks):
            measurements = _measure(work.job, work, tell)
    except (Exception, SystemExit) as error:
        return Evaluated(work.seed, name, *_ending(error))
    seconds = time.perf_counter() - start
    return Evaluated(
        work.seed, name, Status.OK, "; ".join(remarks), seconds=seconds, measurements=measurements
    )


def _measure(job: Job, work: Measuring, tell: Callable[[float], None]) -> tuple[dict[str, Any], ...]:
    catalogue, cache = _world(job.selection)
    seed, ref = work.seed, work.evaluator
    data = cache[job.combination["dataset"]]
    evaluator: Evaluator = catalogue.build("evaluator", ref)
    parts = build(catalogue, job.combination, data, seed)
    provided = capabilities(data, parts, measured=True)
    check_suits(evaluator, ref, provided, job.combination, data)
    restore(parts, load(job.weights_file(seed).read_bytes()))
    device = pick_device(job.device)
    parts.ready(device)
    subject = subject_of(
        catalogue, job.combination, parts, data, provided, seed, work.split, device, work.facts
    )
    measurements, rows = figures(evaluator, replace(subject, tell=tell))
    _keep_per_datum(measurements, job.weights_file(seed).with_suffix(""), str(ref))
    return rows


def _keep_per_datum(measurements: Iterable[Measurement], folder: Path, evaluator: str) -> None:
    """Store the figures of single data beside the weights, one file per evaluator."""
    tensors = {
        ".".join(filter(None, (m.metric, m.variant, m.method))): m.per_datum.detach().cpu()
        for m in measurements
        if m.per_datum is not None
    }
    if tensors:
        write_tensors(tensors, folder / f"{evaluator}.safetensors")
