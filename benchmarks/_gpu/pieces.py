"""What checks and measurements are made of: data, combinations, trainings, seconds."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from lvmbench import Data, Demand, Split, Stream
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import Parts, build
from lvmbench.combinations.requirements import default_estimators
from lvmbench.kinds import PARTS
from lvmbench.options import options_model
from lvmbench.registry.catalogue import Catalogue
from lvmbench.registry.loader import PluginSelection, load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training.graph import Function
from lvmbench.training.learner import Learner, demand
from lvmbench.training.loop import Training

PIXELS = 784
FLOWS = ("planar", "radial", "sylvester", "coupling", "iaf", "spline")
"""Posteriors whose ``layers`` are those of a flow."""


@cache
def catalogue() -> Catalogue:
    """What is installed; the reference components also where lvmbench is only on the path."""
    found = load_catalogue()
    return found if found.names("prior") else load_catalogue(PluginSelection(("lvmbench_plugins",)))


@cache
def digits() -> Data:
    """The handwritten digits of scikit-learn."""
    data: Data = catalogue().build("dataset", "digits").load()
    return data


@cache
def binary_images(rows: int = 2048) -> Data:
    """Random binary images of 784 pixels, the same each time."""
    share = torch.linspace(0.02, 0.6, PIXELS)
    x = (torch.rand(rows, PIXELS, generator=torch.Generator().manual_seed(0)) < share).to(torch.uint8)
    split = Split(x, torch.arange(rows) % 10)
    part = Split(x[:500], torch.arange(500) % 10)
    return Data({"train": split, "validation": part, "test": part}, "binary", "random numbers")


def combined(text: str, latent: int = 8, hidden: int | None = None, dataset: str = "digits") -> Combination:
    """A combination from ``prior posterior decoder objective [estimator]``.

    ``hidden`` units in each of two layers.
    """
    refs = dict(zip(PARTS[1:], map(Ref.parse, text.split()), strict=False))
    refs.setdefault("estimator", default_estimators(catalogue(), refs["objective"])[0])
    if hidden is not None:
        for kind in ("posterior", "decoder"):
            given = _sizes(kind, refs[kind].name, hidden)
            refs[kind] = Ref(refs[kind].name, {**refs[kind].options, **given})
    return Combination({"dataset": Ref.parse(dataset), **refs}, latent)


def _sizes(kind: str, name: str, hidden: int) -> dict[str, int]:
    """The hidden units, and two layers where ``layers`` are those of the network and not those of a flow."""
    fields = options_model(catalogue().entry(kind, name).load()).model_fields
    found = {"hidden": hidden} if "hidden" in fields else {}
    flow = kind == "posterior" and name in FLOWS
    return found | ({"layers": 2} if "layers" in fields and not flow else {})


def training(
    combination: Combination,
    seeds: int,
    data: Data,
    device: torch.device,
    batch: int = 128,
    vectorized: bool | None = None,
    wrap: Callable[[Function], Function] | None = None,
) -> Training:
    """A pack in training."""
    parts = [build(catalogue(), combination, data, seed) for seed in range(seeds)]
    return Training(parts, range(seeds), data, Budget(batch=batch), device, vectorized, wrap)


class Step(NamedTuple):
    """Mean bound and gradient, in one vector, of a training step."""

    bound: float
    gradient: Tensor


class Replay:
    """A training step whose numbers are drawn once, on the CPU, and used wherever it is taken.

    Arguments:
        parts: The parts, on the CPU; they stay as they are.
        x: A batch ``(B, *x)``.
    """

    def __init__(self, parts: Parts, x: Tensor) -> None:
        self.learner, self.x = Learner(parts).train(), x
        needed: Demand = demand(copy.deepcopy(self.learner), x, training=True)
        noise = Stream.seeded(0, "replay", dtype=torch.float64)
        self.noise = noise.normal((needed.normals,)), noise.uniform((needed.uniforms,)).clamp(max=1 - 1e-7)

    def step(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Step:
        """Take the step on a device, with a copy of the weights."""
        learner = copy.deepcopy(self.learner).to(device, dtype)
        x, normals, uniforms = (t.float().to(device, dtype) for t in (self.x, *self.noise))
        surrogate, bound = learner(x, normals, uniforms, 1.0, True)
        if surrogate.requires_grad:
            surrogate.backward()
        found = [p.grad.flatten() for p in learner.parameters() if p.grad is not None]
        return Step(float(bound.detach()), torch.cat([torch.zeros(1, device=device), *found]).double().cpu())


def difference(one: Tensor, other: Tensor) -> float:
    """The norm of the difference, relative to the norm of the second."""
    return float((one - other).norm() / other.norm().clamp(min=1e-12))


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Some tensors as one vector of doubles on the CPU."""
    return torch.cat([t.detach().double().flatten().cpu() for t in tensors])


def synchronise(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Seconds(NamedTuple):
    """Seconds of one call: the median, the least and the most of some timed blocks of calls."""

    median: float
    least: float
    most: float

    @property
    def text(self) -> str:
        """Milliseconds, with the spread."""
        return f"{1e3 * self.median:.3g} ({1e3 * self.least:.3g} to {1e3 * self.most:.3g})"


def timed(
    calls: Callable[[int], object], device: torch.device, *, block: float = 0.15, blocks: int = 7
) -> Seconds:
    """Time blocks of calls, of about ``block`` seconds each, after some that are not counted."""
    calls(5)
    once = seconds_of(calls, 5, device) / 5
    count = max(3, min(500, round(block / once)))
    found = [seconds_of(calls, count, device) / count for _ in range(blocks)]
    return Seconds(statistics.median(found), min(found), max(found))


def seconds_of(calls: Callable[[int], object], count: int, device: torch.device) -> float:
    """Seconds of some calls, from an idle device to an idle device."""
    synchronise(device)
    start = time.perf_counter()
    calls(count)
    synchronise(device)
    return time.perf_counter() - start


def in_turn(
    sides: Mapping[str, Callable[[int], object]], *, steps: int = 20, blocks: int = 9
) -> dict[str, Seconds]:
    """The processor seconds of a step of each side, which take blocks of steps in turn."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for calls in sides.values():
        calls(5)
    for _ in range(blocks):
        for name, calls in sides.items():
            calls(2)
            start = time.process_time()
            calls(steps)
            found[name].append((time.process_time() - start) / steps)
    return {name: Seconds(statistics.median(s), min(s), max(s)) for name, s in found.items()}


def start_memory(device: torch.device) -> None:
    """Forget earlier peaks of the device's memory."""
    if device.type == "cuda":
        torch.cuda.init()  # before which there is nothing to forget, and torch raises
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> str:
    """The most memory that tensors took on the device, in MiB."""
    return f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f}" if device.type == "cuda" else "n/a"
