"""Whether the device gives what the CPU gives."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any
from unittest import mock

import torch
from scipy.stats import t as student
from torch import Tensor

import lvmbench
from _gpu.pieces import Replay, catalogue, combined, difference, digits, flat, timed, training
from _gpu.sections import CHECKED, Check, Item, Section, Setting
from lvmbench import Demand, Fitted, Refusal, Stream, Subject, Unavailable, UserError, generator
from lvmbench.checks.contract import BUILT
from lvmbench.checks.options import small
from lvmbench.checks.partners import Bench, Case
from lvmbench.checks.shapes import device_is_followed
from lvmbench.checks.specimen import Specimen
from lvmbench.combinations.budget import Budget
from lvmbench.combinations.optimizers import OPTIMIZERS
from lvmbench.combinations.parts import build
from lvmbench.execution.measuring import check_suits, figures
from lvmbench.registry.names import Ref
from lvmbench.training import SeedResult, pick_device, train
from lvmbench.training.checkpoint import Checkpoint
from lvmbench.training.estimate import _timed
from lvmbench.training.graph import as_written
from lvmbench.training.loop import Training
from lvmbench.training.memory import PeakMemory
from lvmbench.training.optimizer import PackOptimizer
from lvmbench.training.pack import PackNoise

CPU = torch.device("cpu")
CLOSE, DOUBLE = 1e-3, 1e-8
ON_DIGITS = (
    "standard_normal gaussian bernoulli elbo stl",
    "standard_normal gaussian bernoulli elbo blend",
    "standard_normal gaussian bernoulli elbo pathwise",
    "standard_normal gaussian bernoulli elbo score",
    "standard_normal coupling bernoulli elbo blend",
    "standard_normal iaf bernoulli elbo blend",
    "standard_normal planar bernoulli elbo blend",
    "standard_normal spline bernoulli elbo blend",
    "standard_normal full_gaussian bernoulli elbo blend",
    "standard_normal svi bernoulli elbo",
    "standard_normal semi_amortized bernoulli elbo",
    "mixture[components=10] gaussian bernoulli elbo blend",
    "standard_normal gaussian bernoulli iwae[samples=8] dreg",
    "standard_normal coupling bernoulli iwae[samples=8] dreg",
    "bernoulli bernoulli bernoulli iwae[samples=8] vimco",
    "bernoulli bernoulli bernoulli elbo rebar",
    "bernoulli bernoulli bernoulli elbo score",
)
"""Combinations that stand for many, each with the networks that it has by default."""


def equal_steps(setting: Setting) -> Iterator[Item]:
    """A training step of each combination on both devices."""
    for text in ON_DIGITS:
        yield f"digits: {text}", partial(_equal_on_digits, text, setting)
    bench = Bench(catalogue())
    for kind in BUILT:
        for ref in bench.offers[kind][: 3 if setting.quick else None]:
            yield f"{kind} {ref}", partial(_equal_with_partners, bench, kind, ref, setting)


def _equal_on_digits(text: str, setting: Setting) -> Check:
    parts = build(catalogue(), combined(text), digits(), seed=0)
    return _equal(Replay(parts, _batch(digits(), 64)), setting, "")


def _batch(data: lvmbench.Data, size: int) -> Tensor:
    x = data.splits["train"].values[:size]
    return data.visit(x, Stream.seeded(0, "visit")) if data.visit else x


def _equal_with_partners(bench: Bench, kind: str, ref: Ref, setting: Setting) -> Check:
    case = _case(bench, kind, ref)
    return _equal(Replay(case.parts(), _batch(case.source.data, 20)), setting, str(case))


def _case(bench: Bench, kind: str, ref: Ref) -> Case:
    """A combination with a network posterior where it suits, as the others train little.

    Else the first one.
    """
    known = [q for q in bench.offers["posterior"] if q.name in ("gaussian", "relaxed", "bernoulli")]
    for fixed in (*({"posterior": q} for q in reversed(known) if kind != "posterior"), {}):
        if case := bench.find({**fixed, kind: ref}):
            return case
    raise Refusal("no partners suit it")


def _equal(replay: Replay, setting: Setting, note: str) -> Check:
    here, there = replay.step(CPU), replay.step(setting.device)
    bound = abs(here.bound - there.bound) / (1 + abs(here.bound))
    apart = max(bound, difference(there.gradient, here.gradient))
    words = f"bound {bound:.1g}; {note}".rstrip("; ")
    if apart <= CLOSE:
        return Check(apart, CLOSE, words)
    one, other = (replay.step(device, torch.float64) for device in (CPU, setting.device))
    rounding = difference(here.gradient, one.gradient)
    double = difference(other.gradient, one.gradient)
    return Check(apart, CLOSE, f"in double {double:.1g}; CPU float from double {rounding:.1g}; {words}")


def followed(setting: Setting) -> Iterator[Item]:
    """The contract of each component that all that it has goes where its module goes."""
    bench = Bench(catalogue())
    for kind in BUILT:
        for ref in bench.offers[kind][: 3 if setting.quick else None]:
            specimen = Specimen(bench, catalogue().entry(kind, ref.name), ref)
            yield f"{kind} {ref}", partial(_followed, specimen)


def _followed(specimen: Specimen) -> Check:
    device_is_followed(specimen)
    return Check(0, 0)


PACKS = (0, 3, 4, 5, 6, 7, 8, 10, 11, 13, 14)
"""Which of the combinations on digits are trained as a pack and one by one."""


def packs(setting: Setting) -> Iterator[Item]:
    """Weights of three seeds after 20 steps, in ``vmap`` and one after another."""
    for i in PACKS[: 3 if setting.quick else None]:
        yield ON_DIGITS[i], partial(_pack, ON_DIGITS[i], setting, 5 if setting.quick else 20)


def _pack(text: str, setting: Setting, steps: int) -> Check:
    weights = []
    for vectorized in (True, False):
        pack = training(combined(text), 3, digits(), setting.device, vectorized=vectorized)
        if vectorized and not all(p.vectorizable for p in _parts(text).components.values()):
            raise Refusal("it is not vectorizable")
        first = flat(list(pack.pack.parameters.values()))
        pack.steps_of(steps)
        weights.append(flat(list(pack.pack.parameters.values())))
    moved = difference(weights[0] - first, weights[1] - first)
    return Check(difference(*weights), CLOSE, f"relative to how far they moved: {moved:.1g}")


def _parts(text: str) -> Any:
    return build(catalogue(), combined(text), digits(), seed=0)


LONGER = (
    "digits[binarize=dynamic] vamp[components=10] gaussian bernoulli elbo",
    "digits standard_normal hamiltonian bernoulli elbo pathwise",
    "digits standard_normal gaussian bernoulli wasserstein",
    "linear_gaussian_sequences[steps=10,shortest=3] linear_dynamics filtering linear_gaussian smc",
    "jsb_chorales recurrent[hidden=16] filtering[hidden=16] bernoulli[hidden=16] elbo",
)
"""Combinations on other data that are replayed, too."""
BUDGETS = (
    {"optimizer": "sgd[momentum=0.9]"},
    {"optimizer": "rmsprop", "clip": 0.5},
    {"optimizer": "adamax", "schedule": "cosine"},
    {"optimizer": "adam_norm_grad", "warm_up": 2.0},
    {"optimizer": "adamw", "schedule": "plateau[patience=1]", "patience": 3},
)


def replays(setting: Setting) -> Iterator[Item]:
    """Trainings whose steps are CUDA graphs, beside the same ones as written."""
    for text in [*(f"digits {text}" for text in ON_DIGITS), *LONGER][: 3 if setting.quick else None]:
        yield text, partial(_replayed_alike, text, setting)
    for budget in BUDGETS:
        yield str(budget), partial(_replayed_alike, f"digits {ON_DIGITS[0]}", setting, budget)
    for budget in BUDGETS[: 1 if setting.quick else None]:
        yield f"{budget}, cut after an epoch", partial(_resumed_alike, ON_DIGITS[0], setting, budget)


def _replayed_alike(text: str, setting: Setting, budget: Mapping[str, Any] = MappingProxyType({})) -> Check:
    """The relative difference of weights of two seeds after two epochs."""
    dataset, _, others = text.partition(" ")
    combination = combined(others, dataset=dataset)
    data = digits() if dataset == "digits" else catalogue().build("dataset", dataset).load()
    given = Budget(**{"epochs": 2, **budget})
    ended, warned = [], _Warned()
    for wrap in (as_written, None):
        parts = [build(catalogue(), combination, data, seed) for seed in range(2)]
        with warned:
            results = Training(parts, range(2), data, given, setting.device, wrap=wrap).run(lambda _: None)
        ended.append(flat([w for r in results for w in r.weights.values()]))
    apart = difference(ended[1], ended[0])
    return Check(math.inf if warned.words else apart, CLOSE, "; ".join(warned.words))


def _resumed_alike(text: str, setting: Setting, budget: Mapping[str, Any]) -> Check:
    """The relative difference of weights that a cut makes, after which the training goes on."""
    given = Budget(**{"epochs": 3, **budget})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.safetensors"
        ended = [_went_on(text, setting, given, file) for _ in range(2)]
    return Check(difference(ended[1], ended[0]), CLOSE)


def _went_on(text: str, setting: Setting, budget: Budget, file: Path) -> Tensor:
    """The weights after a training, which goes on from a file if it is there, and else writes it."""
    parts = [build(catalogue(), combined(text), digits(), seed) for seed in range(2)]
    made = Training(parts, range(2), digits(), budget, setting.device)
    if file.exists():
        Checkpoint.read(file).restore(made)
    results = made.run(lambda _: None, _AfterOneEpoch(file))
    return flat([w for r in results for w in r.weights.values()])


class _AfterOneEpoch:
    """Saves a training once its first epoch has ended."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def resume(self, training: Training) -> None: ...

    def end_epoch(self, training: Training, *, over: bool) -> None:
        if training.epoch == 1:
            Checkpoint.of(training, ["0", "1"], "").write(self.file)


class _Warned(logging.Handler):
    """What is logged of steps that cannot be replayed."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.words.append(" ".join(record.getMessage().split())[:200])

    def __enter__(self) -> None:
        logging.getLogger("lvmbench").addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("lvmbench").removeHandler(self)


def paths(setting: Setting) -> Iterator[Item]:
    """The parts of lvmbench that know of devices."""
    yield "pick_device(auto)", lambda: Check(float(pick_device("auto").type != setting.device.type), 0)
    yield "an absent device is refused", _absent
    yield "peak memory is on record", partial(_memory, setting)
    yield "save on the device, load on the CPU", partial(_saved, setting)
    yield "a cost estimate waits for the device", partial(_waits, setting)
    for name in OPTIMIZERS:
        yield (
            f"optimiser {name}, 3 steps of 2 seeds, weights beside the CPU's",
            partial(_optimizer, name, setting),
        )
    for jobs in (0, 1):
        yield f"lvmbench.run with jobs={jobs}", partial(_suite, setting, jobs)


def _absent() -> Check:
    try:
        pick_device("cuda:99")
    except UserError as error:
        return Check(0, 0, str(error))
    return Check(1, 0, "not refused")


def _memory(setting: Setting) -> Check:
    memory = PeakMemory(setting.device)
    training(combined(ON_DIGITS[0]), 1, digits(), setting.device).steps_of(1)
    facts = memory.facts
    known = (facts["peak_memory_device"] or 0) > 0 if setting.cuda else bool(facts["peak_memory_host"])
    return Check(float(not known), 0, str(facts))


def _waits(setting: Setting) -> Check:
    """Matrix products are timed as they are where nothing is left to do at the start."""
    size = 4096 if setting.cuda else 512
    a = torch.randn(size, size, device=setting.device)

    def products(count: int) -> None:
        for _ in range(10 * count):
            a @ a

    due = timed(products, setting.device, blocks=3).median
    ratio = _timed(lambda: products(1), setting.device) / due
    rate = 10 * 2 * size**3 / due / 1e12
    return Check(max(ratio, 1 / ratio), 1.5, f"{ratio:.2f} of the time; {rate:.3g} TFLOP/s in float32")


def _optimizer(name: str, setting: Setting) -> Check:
    """Weights after some steps from the same gradients."""
    found = []
    for device in (CPU, setting.device):
        noise = Stream.seeded(0, "gradients")
        weights = [noise.normal((2, 30, 4)).to(device).requires_grad_()]
        optimizer = PackOptimizer(weights, Budget(optimizer=name))  # type: ignore[arg-type]
        for _ in range(3):
            weights[0].grad = noise.normal((2, 30, 4)).to(device)
            optimizer.step()
        found.append(flat(weights))
    return Check(difference(found[1], found[0]), 1e-5)


def _suite(setting: Setting, jobs: int) -> Check:
    suite = {
        "suite": "gpu",
        "version": 1,
        "datasets": ["digits"],
        "priors": ["standard_normal"],
        "posteriors": ["gaussian", "svi"],
        "decoders": ["bernoulli"],
        "objectives": ["elbo"],
        "latent": 4,
        "budget": {"epochs": 2},
        "seeds": 2,
        "evaluators": ["tightness[samples=10,repeats=2]", "cost[samples=10]"],
        "metric": "elbo",
    }
    plugins = [] if lvmbench_is_installed() else ["lvmbench_plugins"]
    with tempfile.TemporaryDirectory() as out:
        results = lvmbench.run(
            suite, out, device=setting.device.type, jobs=jobs, progress=False, plugins=plugins
        )
        records = results.records
    wrong = records[records["status"] != "ok"]
    return Check(
        float(len(wrong)), 0, f"{len(records)} records; {wrong['reason'].iloc[0] if len(wrong) else 'all ok'}"
    )


def lvmbench_is_installed() -> bool:
    """Whether the entry points of the reference components are there."""
    return not any(e.version == "local" for e in catalogue().entries("prior"))


@cache
def _fitted(text: str, dataset: str, device: torch.device, latent: int, epochs: int) -> Fitted:
    prior, posterior, decoder, objective = text.split()
    return lvmbench.fit(
        data=dataset,
        prior=prior,
        posterior=posterior,
        decoder=decoder,
        objective=objective,
        latent=latent,
        device=device.type,
        epochs=epochs,
        plugins=[] if lvmbench_is_installed() else ["lvmbench_plugins"],
    )


def _on_cpu(fitted: Fitted) -> Fitted:
    """The same model, loaded on the CPU from the file that the device's was saved in."""
    with tempfile.TemporaryDirectory() as folder:
        lvmbench.save(fitted, Path(folder) / "model")
        plugins = [] if lvmbench_is_installed() else ["lvmbench_plugins"]
        loaded: Fitted = lvmbench.load(Path(folder) / "model", device="cpu", plugins=plugins)
    return loaded


def _saved(setting: Setting) -> Check:
    fitted = _fitted(MODELS[0][0], MODELS[0][1], setting.device, 2, 1)
    loaded = _on_cpu(fitted)
    one, other = (flat(list(f.model.state_dict().values())) for f in (fitted, loaded))
    devices = {t.device.type for t in loaded.model.state_dict().values()}
    return Check(difference(one, other), 0, f"loaded on {', '.join(devices)}")


MODELS = (
    ("standard_normal gaussian bernoulli elbo", "digits"),
    ("mixture coupling bernoulli iwae", "digits"),
    ("standard_normal gaussian bernoulli elbo", "shapes"),
    ("standard_normal gaussian linear_gaussian elbo", "linear_gaussian"),
    ("linear_dynamics filtering linear_gaussian elbo", "linear_gaussian_sequences[steps=10]"),
    ("standard_normal rejection bernoulli elbo", "digits"),
    ("standard_normal gaussian bernoulli elbo", "digit_halves"),
)
"""Models that evaluators are tried on, the first that suits."""


class _Carried(Stream):
    """Numbers drawn on the CPU and carried to a device, which are the same on every one."""

    def __init__(self, source: torch.Generator, device: torch.device) -> None:
        super().__init__(source)
        self.device = device

    def normal(self, shape: Any) -> Tensor:
        return super().normal(shape).to(self.device)

    def uniform(self, shape: Any) -> Tensor:
        return super().uniform(shape).to(self.device)


class _Replayed(Subject):
    """A subject whose noise is the same on every device."""

    def noise(self, *words: object) -> Stream:
        return _Carried(generator(self.seed, "evaluate", *words), self.device)


def _replayed(fitted: Fitted) -> Subject:
    subject = fitted.subject()
    return _Replayed(**{f.name: getattr(subject, f.name) for f in fields(Subject)})


def evaluators(setting: Setting) -> Iterator[Item]:
    """Each evaluator on a model that was fitted on the device, there and on the CPU."""
    for name in catalogue().names("evaluator"):
        yield name, partial(_evaluator, name, setting)


def _evaluator(name: str, setting: Setting) -> Check:
    cls = catalogue().entry("evaluator", name).load()
    ref = Ref(name, small(cls, 4 if setting.quick else 20))
    instrument = catalogue().build("evaluator", ref)
    reasons = []
    for text, dataset in MODELS:
        fitted = _fitted(text, dataset, setting.device, 2, 1 if setting.quick else 5)
        try:
            check_suits(instrument, ref, fitted.provides, fitted.combination, fitted.data)
            here, there = _on_cpu(fitted), fitted
            found = [_by_name(figures(instrument, _replayed(f))[1]) for f in (here, there)]
        except (Refusal, Unavailable) as error:
            reasons.append(str(error))
            continue
        return _agreement(instrument, *found, f"{text} on {dataset}")
    raise Refusal(reasons[0])


def _by_name(rows: Any) -> dict[str, tuple[float, float]]:
    return {
        "/".join(filter(None, (r["metric"], r["variant"], r["method"]))): (r["value"], r["stderr"] or 0.0)
        for r in rows
    }


def _agreement(
    instrument: Any,
    here: Mapping[str, tuple[float, float]],
    there: Mapping[str, tuple[float, float]],
    model: str,
) -> Check:
    """The largest difference of a figure, in units of its error and a thousandth of itself."""
    names = [n for n in here if not instrument.metrics[n.partition("/")[0]].timed]
    names = [n for n in names if not n.startswith(("train_seconds", "samples_per_second", "peak_memory"))]
    if here.keys() ^ there.keys() and not set(names) <= there.keys():
        raise ValueError(f"the figures differ in {sorted(here.keys() ^ there.keys())}")
    apart = {n: abs(here[n][0] - there[n][0]) / (here[n][1] + CLOSE * (1 + abs(here[n][0]))) for n in names}
    worst = max(apart, key=lambda n: apart[n])
    return Check(
        apart[worst],
        1.0,
        f"{len(names)} figures; worst {worst}: {there[worst][0]:.6g} beside {here[worst][0]:.6g} "
        f"± {here[worst][1]:.2g}; {model}",
    )


def trainings(setting: Setting) -> Iterator[Item]:
    """Whole trainings from the same seeds, with the same noise, and with each device's own."""
    chosen = (0, 3, 11, 10, 14)[: 2 if setting.quick else None]
    for i in chosen:
        yield f"{ON_DIGITS[i]}, the same noise", partial(_trained_alike, ON_DIGITS[i], setting)
    for i in chosen:
        yield f"{ON_DIGITS[i]}, own noise", partial(_trained, ON_DIGITS[i], setting)


class _CarriedNoise(PackNoise):
    """Noise of a pack that is drawn on the CPU wherever the pack is."""

    def __init__(self, seeds: Sequence[int], demand: Demand, *words: object, device: torch.device) -> None:
        super().__init__(seeds, demand, *words, device=CPU)
        self._carried = [numbers.to(device, copy=True) for numbers in super().drawn]

    def draw(self) -> tuple[Tensor, Tensor]:
        super().draw()
        for carried, drawn in zip(self._carried, super().drawn, strict=True):
            carried.copy_(drawn)
        return self.drawn

    @property
    def drawn(self) -> tuple[Tensor, Tensor]:
        normals, uniforms = self._carried
        return normals, uniforms


def _trained_alike(text: str, setting: Setting) -> Check:
    """The largest relative difference of a seed's training bound after two epochs."""
    with mock.patch("lvmbench.training.loop.PackNoise", _CarriedNoise):
        here, there = (_results(text, device, Budget(epochs=2)) for device in (CPU, setting.device))
    ends = [(a.curve[-1][1], b.curve[-1][1]) for a, b in zip(here, there, strict=True)]
    weights = [flat(list(r.weights.values())) for found in (here, there) for r in found[:1]]
    apart = max(abs(b - a) / (1 + abs(a)) for a, b in ends)
    return Check(apart, CLOSE, f"weights of the first seed: {difference(weights[1], weights[0]):.1g}")


def _results(text: str, device: torch.device, budget: Budget) -> list[SeedResult]:
    parts = [build(catalogue(), combined(text), digits(), seed) for seed in range(4)]
    return train(parts, range(4), digits(), budget, device)


def _trained(text: str, setting: Setting) -> Check:
    """The mean difference of the seeds' best validation bounds, in standard errors.

    It exceeds the bound by chance once in 1,000.
    """
    budget = Budget(epochs=1 if setting.quick else 10, learning_rate=3e-3)
    bounds, seconds = [], []
    for device in (CPU, setting.device):
        results = _results(text, device, budget)
        bounds.append([r.best_bound for r in results])
        seconds.append(sum(r.seconds for r in results))
    apart = [b - a for a, b in zip(*bounds, strict=True)]
    error = stdev(apart) / len(apart) ** 0.5
    figure = abs(fmean(apart)) / max(error, 1e-4 * abs(fmean(bounds[0])))
    words = (
        f"validation bound {fmean(bounds[1]):.4g} beside {fmean(bounds[0]):.4g}, difference ± {error:.2g}; "
    )
    return Check(
        figure, float(student.ppf(0.9995, 3)), words + f"{seconds[1]:.1f} s beside {seconds[0]:.1f} s on CPU"
    )


SECTIONS = [
    Section(
        "1. A training step gives the same",
        "The larger of the relative differences of the mean bound and of the gradient (norm of the "
        "difference over norm), at the same weights and the same noise, on the device and on the CPU, in "
        "float32. Combinations on digits first, with batches of 64; then every component of the catalogue "
        "in the first combination that suits it.",
        CHECKED,
        equal_steps,
        until=0.4,
        limit=30,
    ),
    Section(
        "2. A pack trains as its seeds do one by one",
        "Relative difference of the weights of three seeds after 20 steps on the device, inside vmap "
        "and in a loop.",
        CHECKED,
        packs,
        until=0.45,
        limit=30,
    ),
    Section(
        "3. A replayed training ends as it does as written",
        "Relative difference of the weights of two seeds after two epochs whose steps and validation are "
        "CUDA graphs, and as written; infinite where a step could not be recorded. Then of weights after "
        "three epochs, and after as many of which the last two go on from a checkpoint.",
        CHECKED,
        replays,
        until=0.55,
        limit=40,
    ),
    Section(
        "4. What knows of devices works",
        "0 where it holds, or a relative difference.",
        CHECKED,
        paths,
        until=0.6,
    ),
]
LATER = [
    Section(
        "11. Evaluators give the same",
        "The largest difference of a figure between device and CPU, with the same noise, in units of its "
        "standard error and a thousandth of itself; the model was fitted on the device and loaded "
        "on the CPU.",
        CHECKED,
        evaluators,
        limit=40,
    ),
    Section(
        "12. Whole trainings end alike",
        "Four seeds. With the same noise: the largest relative difference of a training bound after two "
        "epochs. With the noise of each device: the mean difference of the best validation bounds after "
        "ten, in its standard errors, beside what chance exceeds once in 1,000.",
        CHECKED,
        trainings,
        limit=40,
    ),
    Section(
        "13. Everything moves with its module",
        "0 where the contract `device_is_followed` holds.",
        CHECKED,
        followed,
        limit=20,
    ),
]
