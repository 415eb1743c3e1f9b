"""How fast it is, how much of that is the harness, and where the time goes."""

from __future__ import annotations

import json
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from _gpu.pieces import (
    PIXELS,
    Replay,
    Seconds,
    binary_images,
    catalogue,
    combined,
    difference,
    digits,
    peak,
    seconds_of,
    start_memory,
    synchronise,
    timed,
    training,
)
from _gpu.sections import Item, Row, Section, Setting
from lvmbench import Data
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import model_capabilities
from lvmbench.evaluator import Subject
from lvmbench.execution.measuring import subject_of
from lvmbench.training import restore
from lvmbench.training.graph import as_written
from lvmbench.training.loop import Training

PLAIN = "standard_normal gaussian bernoulli elbo pathwise"


class Size:
    """Data, hidden units and latent size of a measured model."""

    def __init__(self, data: Data, hidden: int, latent: int) -> None:
        self.data, self.hidden, self.latent = data, hidden, latent

    @property
    def pixels(self) -> int:
        """The number of values of a datum."""
        return self.data.summary.mean.numel()

    def combination(self, text: str = PLAIN) -> Combination:
        """A combination with networks of this size."""
        return combined(text, self.latent, self.hidden)


def large(setting: Setting) -> Size:
    """784-512-512-16, or small where it is only to be tried."""
    return Size(binary_images(), 64 if setting.quick else 512, 16)


def small(setting: Setting) -> Size:
    """64-128-128-8."""
    return Size(digits(), 128, 8)


class Bare(nn.Module):
    """The same model and bound as `PLAIN`, written out."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.latent, H = size.latent, size.hidden
        self.encoder = _mlp(size.pixels, H, 2 * size.latent)
        self.decoder = _mlp(size.latent, H, size.pixels)

    def forward(self, x: Tensor) -> Tensor:
        """The mean loss of a batch."""
        loc, raw = self.encoder(x).chunk(2, -1)
        scale = softplus(raw) + 1e-5
        epsilon = torch.randn_like(loc)
        z = loc + scale * epsilon
        log_ratio = 0.5 * (epsilon**2 - z**2).sum(-1) + scale.log().sum(-1)  # log p(z) - log q(z|x)
        distortion = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)
        return (distortion - log_ratio).mean()


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    silu = nn.SiLU()
    return nn.Sequential(
        nn.Linear(inputs, hidden), silu, nn.Linear(hidden, hidden), silu, nn.Linear(hidden, outputs)
    )


class BareLoop:
    """Bare steps on the first batch: choose the rows, loss, gradient, fused Adam.

    As a CUDA graph on request.
    """

    def __init__(self, size: Size, batch: int, device: torch.device, *, graph: bool) -> None:
        self.model = Bare(size).to(device)
        self.source = size.data.splits["train"].x.to(device)
        self.index = torch.arange(batch, device=device) % len(self.source)
        self.scale = size.data.splits["train"].scale
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True, capturable=graph)
        self.replay = self._captured(device) if graph else self._step

    def steps(self, count: int) -> None:
        """Take some steps."""
        for _ in range(count):
            self.replay()

    def _step(self) -> None:
        x = self.source[self.index].flatten(1).float() * self.scale
        self.optimizer.zero_grad(set_to_none=True)
        self.model(x).backward()
        self.optimizer.step()

    def _captured(self, device: torch.device) -> Callable[[], None]:
        return captured(self._step, device)


def captured(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A step as a CUDA graph, after some that are not."""
    beside = torch.cuda.Stream(device)
    beside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream(device).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def graphs(setting: Setting) -> Iterator[Item]:
    """The same step as written and as a CUDA graph."""
    for text in METHODS[: 2 if setting.quick else None]:
        for seeds in (1,) if setting.quick else (1, 8):
            for wrap in (as_written, None):
                yield text, partial(_graph_row, text, seeds, wrap, setting)


def _graph_row(text: str, seeds: int, wrap: Any, setting: Setting) -> Row:
    start_memory(setting.device)
    size = large(setting)
    pack = training(size.combination(text), seeds, size.data, setting.device, wrap=wrap)
    seconds = _paced(pack.steps_of, setting)
    speed = seeds * pack.shape.size / seconds.median / 1e3
    how = "as written" if wrap else "graph"
    return [str(seeds), how, seconds.text, f"{speed:.4g}", peak(setting.device)]


Base = dict[str, float]
"""The seconds of one seed, by batch, that others are held against."""
STEPS = [
    "what",
    "batch",
    "ms per step, median (least to most)",
    "1,000 samples/s",
    "x one seed",
    "peak MiB",
]


def _row(seconds: Seconds, batch: int, seeds: int, base: Base, device: torch.device) -> Row:
    one = base.get(str(batch))
    return [
        str(batch),
        seconds.text,
        f"{seeds * batch / seconds.median / 1e3:.4g}",
        f"{seconds.median / one:.2f}" if one else "n/a",
        peak(device),
    ]


def step_times(size: Callable[[Setting], Size], setting: Setting) -> Iterator[Item]:
    """Steps of packs, of loops, and of bare PyTorch."""
    base: Base = {}
    for batch in (128, 1024):
        for seeds in (1, 4, 8, 32) if not setting.quick else (1, 4):
            yield f"{seeds} seed{'s' * (seeds > 1)}", partial(_pack_row, size, batch, seeds, base, setting)
        yield "8 seeds, one after another", partial(_pack_row, size, batch, 8, base, setting, False)
        yield "bare PyTorch", partial(_bare_row, size, batch, base, setting, False)
    for batch in (128, 1024) if setting.cuda else ():  # last, as a capture that fails may spoil what follows
        yield "bare PyTorch, CUDA graph", partial(_bare_row, size, batch, base, setting, True)


def _pack_row(
    size: Callable[[Setting], Size],
    batch: int,
    seeds: int,
    base: Base,
    setting: Setting,
    vectorized: bool | None = None,
) -> Row:
    start_memory(setting.device)
    chosen = size(setting)
    pack = training(chosen.combination(), seeds, chosen.data, setting.device, batch, vectorized)
    seconds = _paced(pack.steps_of, setting)
    if seeds == 1:
        base[str(pack.shape.size)] = seconds.median
    return _row(seconds, pack.shape.size, seeds, base, setting.device)


def _bare_row(size: Callable[[Setting], Size], batch: int, base: Base, setting: Setting, graph: bool) -> Row:
    start_memory(setting.device)
    chosen = size(setting)
    rows = training(chosen.combination(), 1, chosen.data, setting.device, batch).shape.size
    loop = BareLoop(chosen, rows, setting.device, graph=graph)
    return _row(_paced(loop.steps, setting), rows, 1, base, setting.device)


def _paced(calls: Callable[[int], object], setting: Setting) -> Seconds:
    return timed(calls, setting.device, block=0.01 if setting.quick else 0.15, blocks=5)


METHODS = (
    PLAIN,
    "standard_normal gaussian bernoulli elbo stl",
    "standard_normal gaussian bernoulli elbo blend",
    "standard_normal gaussian bernoulli iwae[samples=50] dreg",
    "standard_normal coupling bernoulli elbo blend",
    "standard_normal iaf bernoulli elbo blend",
    "standard_normal spline bernoulli elbo blend",
    "standard_normal planar bernoulli elbo blend",
    "standard_normal full_gaussian bernoulli elbo blend",
    "mixture[components=10] gaussian bernoulli elbo blend",
    "bernoulli bernoulli bernoulli iwae[samples=8] vimco",
    "bernoulli bernoulli bernoulli elbo rebar",
    "standard_normal semi_amortized bernoulli elbo",
    "standard_normal svi bernoulli elbo",
)
ACTIVITY = [
    "what",
    "seeds",
    "kernels per step",
    "copies per step",
    "device busy, ms per step",
    "wall, ms per step",
    "synchronisations per step",
    "per epoch",
    "epoch, x its steps",
    "where",
]


def activity(setting: Setting) -> Iterator[Item]:
    """What is launched, and what waits, in the steps of each method."""
    for text in METHODS[: 2 if setting.quick else 6]:
        for seeds in (1, 8) if text == PLAIN else (4,):
            yield text, partial(_activity_row, text, seeds, setting)
    if setting.cuda:
        yield "bare PyTorch", partial(_bare_activity, setting)


def _activity_row(text: str, seeds: int, setting: Setting) -> Row:
    size = large(setting)
    pack = training(size.combination(text), seeds, size.data, setting.device)
    cells = _profiled(pack.steps_of, setting)

    def epoch() -> None:
        pack._epoch(1)
        pack._validate()

    in_step, in_epoch = _waits(lambda: pack.steps_of(1), setting), _waits(epoch, setting)
    epochs = seconds_of(lambda n: [epoch() for _ in range(n)], 2, setting.device) / 2
    ratio = 1e3 * epochs / (float(cells[-1]) * pack.steps)
    places = "; ".join(f"{place} x {times}" for place, times in (in_step or in_epoch).most_common(6))
    return [str(seeds), *cells, str(in_step.total()), str(in_epoch.total()), f"{ratio:.2f}", places]


def _bare_activity(setting: Setting) -> Row:
    loop = BareLoop(large(setting), 128, setting.device, graph=False)
    waits = _waits(lambda: loop.steps(1), setting)
    return ["1", *_profiled(loop.steps, setting), str(waits.total()), "", "", ""]


def _profiled(calls: Callable[[int], object], setting: Setting, steps: int = 5) -> Row:
    """Kernels, copies and busy milliseconds of a step, and its wall time,
    which is taken without the profiler.
    """
    calls(5)
    wall = _paced(calls, setting).median
    if not setting.cuda:
        return ["n/a", "n/a", "n/a", f"{1e3 * wall:.3g}"]
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        calls(steps)
        synchronise(setting.device)
    events = traced(found)
    kernels = [took for category, took in events if category == "kernel"]
    copies = [took for category, took in events if category in ("gpu_memcpy", "gpu_memset")]
    busy = sum(kernels + copies) / steps / 1e3
    return [f"{len(kernels) / steps:.0f}", f"{len(copies) / steps:.1f}", f"{busy:.3g}", f"{1e3 * wall:.3g}"]


def traced(profile: Any) -> list[tuple[str, float]]:
    """The category and the microseconds of what a trace has; it can be written once only.

    Other marks on the device than kernels and copies, as of optimisers, are no work.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    return [(str(event.get("cat")), float(event["dur"])) for event in events if "dur" in event]


def _waits(action: Callable[[], object], setting: Setting) -> Counter[str]:
    """The places that wait for the device, and how often; none can be told where there is no CUDA."""
    if not setting.cuda:
        action()
        return Counter()
    action()
    synchronise(setting.device)
    places: Counter[str] = Counter()

    def note(message: Warning | str, *_: object) -> None:
        if "called a synchronizing" in str(message):
            places[_place()] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            action()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return places


def _place() -> str:
    """The innermost line of lvmbench that is being run."""
    frames = [
        f
        for f in traceback.extract_stack()
        if "lvmbench" in Path(f.filename).parts[-3:-1] or "lvmbench_plugins" in f.filename
    ]
    return f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}" if frames else "elsewhere"


PRECISION = [
    "precision",
    "seeds",
    "batch",
    "ms per step, median (least to most)",
    "difference of the bound",
    "difference of the gradient",
]


def precisions(setting: Setting) -> Iterator[Item]:
    """The step in each precision of matrix products."""
    for batch, seeds in ((128, 1), (128, 8), (1024, 8)):
        for precision in ("highest", "high", "medium"):
            yield precision, partial(_precision_row, precision, batch, seeds, setting)


def _precision_row(precision: str, batch: int, seeds: int, setting: Setting) -> Row:
    size = large(setting)
    parts = build(catalogue(), size.combination(), size.data, seed=0)
    replay = Replay(parts, size.data.splits["train"].values[:batch])
    exact = replay.step(setting.device)
    torch.set_float32_matmul_precision(precision)
    try:
        found = replay.step(setting.device)
        pack = training(size.combination(), seeds, size.data, setting.device, batch)
        seconds = _paced(pack.steps_of, setting)
    finally:
        torch.set_float32_matmul_precision("highest")
    bound = abs(found.bound - exact.bound) / abs(exact.bound)
    return [
        str(seeds),
        str(batch),
        seconds.text,
        f"{bound:.1g}",
        f"{difference(found.gradient, exact.gradient):.1g}",
    ]


EVALUATIONS = ("tightness[samples=1000]", "informativeness", "clustering", "gradient_variance")
EVALUATION = ["what", "model", "seconds (after one before)", "first time", "figures", "peak MiB"]


def evaluations(setting: Setting) -> Iterator[Item]:
    """Evaluators on 500 data of 784 pixels, and on the digits."""
    for size, name in ((large, "784 pixels, 500 data"), (small, "digits")):
        for text in ("tightness[samples=20]", "informativeness") if setting.quick else EVALUATIONS:
            yield text, partial(_evaluation_row, text, size, name, setting)


def _evaluation_row(text: str, size: Callable[[Setting], Size], name: str, setting: Setting) -> Row:
    subject = _subject(size(setting), setting.device)
    instrument = catalogue().build("evaluator", text)
    start_memory(setting.device)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        found = list(instrument.evaluate(subject))
        synchronise(setting.device)
        times.append(time.perf_counter() - start)
    return [name, f"{times[1]:.3g}", f"{times[0]:.3g}", str(len(found)), peak(setting.device)]


def _subject(size: Size, device: torch.device) -> Subject:
    """A model after 50 steps."""
    combination = size.combination()
    pack = training(combination, 1, size.data, device)
    pack.steps_of(50)
    parts = build(catalogue(), combination, size.data, seed=0)
    _restore(parts, pack)
    parts.ready(device)
    provided = model_capabilities(size.data, parts.model, measured=True)
    return subject_of(catalogue(), combination, parts, size.data, provided, 0, "test", device, {})


def _restore(parts: Any, pack: Training) -> None:
    restore(
        parts, {name: value[0].cpu() for name, value in pack.pack.snapshot().items() if name in pack.kept}
    )


MEDIAN = "Medians of five timed blocks of about 0.15 s each, after warm-up, with the least and the most. "
SECTIONS = [
    Section(
        "5. A step, 784-512-512-16",
        f"{MEDIAN}Bernoulli decoder, Gaussian posterior, ELBO, {PIXELS} binary pixels of random data; "
        "choosing the batch, noise, gradient and fused Adam are all in it. Bare PyTorch is the same model "
        "written out, without lvmbench.",
        STEPS,
        partial(step_times, large),
    ),
    Section(
        "6. Where the time of a step goes",
        "Same networks, batch 128. Kernels and busy time by torch.profiler; synchronisations by "
        "`torch.cuda.set_sync_debug_mode`, in a step and in an epoch with its validation; the places are "
        "those of the step, or where it has none those of the epoch.",
        ACTIVITY,
        activity,
    ),
    Section(
        "7. A step as written and as a CUDA graph",
        f"{MEDIAN}784-512-512-16, batch 128.",
        ["what", "seeds", "how", "ms per step, median (least to most)", "1,000 samples/s", "peak MiB"],
        graphs,
    ),
    Section(
        "8. Evaluation",
        "Untouched defaults but for what is said; a model after 50 steps.",
        EVALUATION,
        evaluations,
    ),
    Section(
        "9. A step, 64-128-128-8",
        f"{MEDIAN}The digits.",
        STEPS,
        partial(step_times, small),
    ),
    Section(
        "10. Precision of matrix products",
        f"{MEDIAN}`torch.set_float32_matmul_precision`; differences are relative, to the same "
        "step at `highest`.",
        PRECISION,
        precisions,
    ),
]
