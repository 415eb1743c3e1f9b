"""What a model costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from statistics import fmean, stdev
from typing import ClassVar, final

import torch

from lvmbench import Count, Evaluator, Measurement, Metric, Noise, Subject, Workload
from lvmbench_plugins.evaluators._common import Several

_MIB = 2**20


@final
class Cost(Evaluator):
    r"""Training time, memory and parameters as they are on record, and the speed of sampling.

    .. math:: \text{samples per second} = n / t

    Training time is that of the run's share of its pack, which trains several seeds at once. Peak memory is
    that of the whole pack's process while it trained: ``host`` is resident memory with interpreter, libraries
    and data in it, ``device`` what the accelerator's tensors took. What was not recorded is left out. Times,
    and what rests on them, differ from one evaluation to the next.

    References:
        Energy and Policy Considerations for Deep Learning in NLP (Strubell, Ganesh, McCallum, 2019),
        https://arxiv.org/abs/1906.02243

    Arguments:
        samples: How many data to sample at once.
        repeats: How many times to sample them, after once to warm up.

    Example:
        >>> Cost(samples=100).metrics["samples_per_second"].better
        'higher'
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "train_seconds": Metric("Training time", "seconds", "lower", "time that training took"),
        "samples_per_second": Metric(
            "Sampling speed", "1/s", "higher", "draws of x from the model in a second", timed=True
        ),
        "parameters": Metric("Parameters", "parameters", "neither", "numbers that training can change"),
        "peak_memory": Metric("Peak memory", "MiB", "lower", "the most memory in use while training"),
    }
    board = ("train_seconds", "peak_memory")

    def __init__(self, *, samples: Count = 1000, repeats: Several = 10) -> None:
        self.samples, self.repeats = samples, repeats

    def evaluations(self, work: Workload) -> int:
        return self.samples * (self.repeats + 1)

    def evaluate(self, subject: Subject) -> Iterator[Measurement]:
        facts = subject.facts
        if facts.get("train_seconds") is not None:
            yield Measurement("train_seconds", float(facts["train_seconds"]))
        yield Measurement("parameters", float(subject.model.parameters_count))
        for where in ("host", "device"):
            if (size := facts.get(f"peak_memory_{where}")) is not None:
                yield Measurement("peak_memory", size / _MIB, variant=where)
        noise = subject.noise("cost")
        self._seconds(subject, noise)
        speeds = [self.samples / self._seconds(subject, noise) for _ in range(self.repeats)]
        yield Measurement("samples_per_second", fmean(speeds), stdev(speeds) / self.repeats**0.5)

    def _seconds(self, subject: Subject, noise: Noise) -> float:
        start = time.perf_counter()
        subject.model.generate(noise, self.samples)
        if subject.device.type == "cuda":
            torch.cuda.synchronize(subject.device)
        return time.perf_counter() - start
