"""Checks of one step of a part, objective or estimator: noise, state, synchronisation, vectorising."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lvmbench.checks.contract import BUILT, MODEL_PARTS, Violation, applies, contract, require
from lvmbench.checks.options import several
from lvmbench.checks.partners import Case
from lvmbench.checks.specimen import Specimen, Trial
from lvmbench.kernels.eager import EagerMode
from lvmbench.noise import Buffer, Recorder, Stream
from lvmbench.options import varying
from lvmbench.registry.names import Ref
from lvmbench.terms import Terms

SEEDS = 3
MARGIN = 1e-6
"""By how much log weights must differ, beside their size,
for their order to be the same on every processor.
"""
NOISE = "noise.Noise"
OF_NOISE = (
    "vectorised_equals_looped",
    "state_round_trips",
    "batch_rows_are_independent",
    "sampled_density_is_log_prob",
    "samples_follow_the_density",
    "sample_gradient_agrees_with_differences",
    "bound_gradient_agrees_with_differences",
    "kl_weight_is_taken",
    "additive_is_true",
    "equal_weights_give_their_value",
    "bound_is_of_its_terms",
    "reported_bound_is_the_objectives",
    "works_with_every_partner",
)
"""The checks that a component fails, too, where its results are not those of its noise."""


@contract(*BUILT, due="The same noise gives the same result.", read=NOISE, explains=OF_NOISE)
def same_noise_gives_the_same_result(specimen: Specimen) -> None:
    trial = specimen.trial().eval()  # what a step changes of the state, it changes while training
    for one, other in zip(trial(trial.noise()), trial(trial.noise()), strict=True):
        require(
            torch.equal(one, other),
            f"two calls with the same noise differ by {(one - other).abs().max().item():.3g}",
            "draw from the noise argument only, and keep no state between calls",
        )


@contract(
    *BUILT,
    due="All randomness comes from the noise argument, in training and in evaluation.",
    read=NOISE,
    explains=(
        "same_noise_gives_the_same_result",
        "number_of_draws_is_fixed",
        "device_is_followed",
        *OF_NOISE,
    ),
)
def global_generators_are_left_alone(specimen: Specimen) -> None:
    trial = specimen.trial()
    for mode in (True, False):
        trial.train(mode)
        before = global_state()
        trial(trial.noise())
        used = [name for name, state in global_state().items() if state != before[name]]
        require(
            not used,
            f"the global generator of {' and '.join(used)} was used in "
            f"{'training' if mode else 'evaluation'}",
            "draw from the noise argument; layers such as Dropout do not",
        )


def global_state() -> dict[str, object]:
    """The states of the global generators."""
    return {
        "torch": torch.random.get_rng_state().numpy().tobytes(),
        "numpy": str(np.random.get_state()),
        "random": random.getstate(),
    }


FAR = 5.0
"""How many times as far out as usual values are tried: reals are then some thirty units from the origin."""


@contract(
    *MODEL_PARTS,
    due="Values far out, and those at the ends of their range, have finite densities and gradients.",
    read="distributions.base.Distribution.log_prob",
)
def far_values_have_finite_densities(specimen: Specimen) -> None:
    trial = specimen.trial()
    trial.x, trial.z = _far(trial.x), _far(trial.z)
    outs = trial(trial.noise())
    _backward(outs)
    graded = [weight.grad for weight in trial.trained.values() if weight.grad is not None]
    require(
        all(bool(tensor.isfinite().all()) for tensor in (*outs, *graded)),
        f"where x and z are {FAR:g} times as far out, or 0 and 1 where they are within these, a figure or "
        "gradient is not finite",
        "speak logits and log scales, and bound what is taken the exponential of",
    )


def _far(values: Tensor) -> Tensor:
    within = values.isnan() | (values >= 0) & (values <= 1)
    return values.round() if bool(within.all()) else values * FAR


@contract(
    *BUILT,
    due="A step draws the same number of random numbers each time.",
    read="noise.Recorder",
    explains=("vectorised_equals_looped", "works_with_every_partner"),
)
def number_of_draws_is_fixed(specimen: Specimen) -> None:
    demands = set()
    for seed in range(SEEDS):
        trial = specimen.trial(seed=seed)
        trial.x = trial.x if seed == 0 else trial.x.roll(seed, -1).flip(0)
        recorder = Recorder(Stream.seeded(seed, "draws"))
        trial(recorder)
        demands.add(recorder.demand)
    counts = " or ".join(str(sum(demand)) for demand in sorted(demands))
    require(
        len(demands) == 1,
        f"it drew {counts} numbers, depending on data, weights or noise",
        "use masks instead of data-dependent loops",
    )


class _Synchronisations(EagerMode):
    """Counts the operations that wait for the device."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(func).split(".")[1]
        masks = [i for i in args[1] if i is not None and i.dtype == torch.bool] if name == "index" else []
        if name in self.WAITING or masks:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contract(
    *BUILT,
    due="A step never waits for the device.",
    read="training.loop",
    explains=("device_is_followed", "vectorised_equals_looped", "works_with_every_partner"),
)
def step_never_synchronises(specimen: Specimen) -> None:
    trial = specimen.trial()
    noise = Recorder(trial.noise())
    trial(noise)
    normals, uniforms = (
        trial.noise(kind).normal((size,)) for kind, size in zip("nu", noise.demand, strict=True)
    )
    with _Synchronisations() as seen:
        total = sum(out.sum() for out in trial(Buffer(normals, uniforms.sigmoid())) if out.requires_grad)
        if isinstance(total, Tensor):
            total.backward()
    require(
        not seen.found,
        f"a step calls {', '.join(sorted(set(seen.found)))} {len(seen.found)} times, each of which "
        "waits for the device",
        "use torch.where and masks instead of .item(), bool(), if and boolean indexing",
    )


@contract(
    *BUILT,
    due="Where vectorizable, seeds stacked in torch.vmap give what each gives alone.",
    read="component.Component",
    explains=("varying_options_are_kept_in_tensors", "works_with_every_partner"),
)
def vectorised_equals_looped(specimen: Specimen) -> None:
    for first in specimen.trials():
        if first.parts.vectorizable:
            settled = _settled(specimen, first.case)
            _compare([settled or first.case] * SEEDS, specimen.kind, gradients=settled is not None)
        else:
            applies(specimen.kind == "estimator", "it, or its only partners, are declared not vectorizable")


@contract(
    *BUILT,
    due="Values of an option that may vary, stacked in torch.vmap, give what each gives alone.",
    read="options.Varying",
    explains=("works_with_every_partner",),
)
def varying_options_are_kept_in_tensors(specimen: Specimen) -> None:
    options = varying(specimen.cls)
    applies(bool(options), "no option is declared to vary")
    found = specimen.trial().case
    applies(found.parts().vectorizable, "it, or its only partners, are declared not vectorizable")
    settled = _settled(specimen, found)
    for option in options:
        refs = [_with(specimen.ref, option, value) for value in several(specimen.cls, specimen.ref, option)]
        cases = [replace(found, refs={**(settled or found).refs, specimen.kind: ref}) for ref in refs]
        try:
            _compare(cases, specimen.kind, gradients=settled is not None)
        except Violation as wrong:
            raise Violation(
                f"with {', '.join(map(str, refs))}: {wrong}",
                f"keep {option} in a buffer, or do not declare it Varying",
            ) from None


def _with(ref: Ref, option: str, value: float) -> Ref:
    return Ref(ref.name, {**ref.options, option: value})


def _settled(specimen: Specimen, case: Case) -> Case | None:
    """A combination whose gradient no rounding can turn, this one if it will do.

    A bound that is not smooth may have a kink where log weights are equal. With the true posterior all of
    them are, but for rounding, and the order of the instructions decides which is the largest.
    """
    if specimen.kind in MODEL_PARTS:
        return case
    fixed = {kind: case.refs[kind] for kind in (specimen.kind, "objective")}
    found = (case, specimen.bench.find(fixed, frozenset({"posterior.amortized"})))
    return next((c for c in found if c and c.parts().vectorizable and _apart(c)), None)


@torch.no_grad()
def _apart(case: Case) -> bool:
    """Whether the bound is smooth, or the log weights of each datum differ by more than rounding."""
    trial = Trial.of("objective", case, dtype=torch.float64)
    if "smooth" in trial.objective.provides:
        return True
    log_w = Terms(trial.model, trial.x, trial.noise("apart"), trial.objective.samples).log_w()
    gaps = log_w.sort(0).values.diff(dim=0)
    return bool((gaps > MARGIN * (1 + log_w.abs().amax(0))).all())


def _compare(cases: Sequence[Case], kind: str, *, gradients: bool) -> None:
    """Hold combinations stacked, each with another seed, against each alone."""
    alone = [Trial.of(kind, case, seed=seed, dtype=torch.float64) for seed, case in enumerate(cases)]
    for trial in alone:
        trial.x, trial.z = alone[0].x, alone[0].z
    recorder = Recorder(Stream.seeded(1, "draws", dtype=torch.float64))
    alone[0](recorder)
    normals = Stream.seeded(1, "n", dtype=torch.float64).normal((len(cases), recorder.demand.normals))
    uniforms = Stream.seeded(1, "u", dtype=torch.float64).uniform((len(cases), recorder.demand.uniforms))
    weights, buffers = torch.func.stack_module_state(alone)

    def one(weights: Any, buffers: Any, normals: Tensor, uniforms: Tensor) -> tuple[Tensor, ...]:
        noise = (Buffer(normals, uniforms),)
        outs: tuple[Tensor, ...] = torch.func.functional_call(alone[0], (weights, buffers), noise)
        anchor = sum((w.sum() for w in weights.values()), torch.zeros(()))
        return (*outs, anchor) if isinstance(anchor, Tensor) else outs

    pack = _vectorised(lambda: torch.func.vmap(one)(weights, buffers, normals, uniforms))
    _backward(pack[:-1])
    for i, trial in enumerate(alone):
        outs = trial(Buffer(normals[i], uniforms[i]))
        _close("a result", [packed[i] for packed in pack[:-1]], outs, 1e-4)
        if not gradients:
            continue
        _backward(outs)
        graded = [(n, w) for n, w in trial.named_parameters() if w.grad is not None]
        _close("a gradient", [weights[name].grad[i] for name, _ in graded], [w.grad for _, w in graded], 1e-3)


def _vectorised(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except RuntimeError as error:
        text = " ".join(str(error).split())[:160]
        require(
            False,
            f"inside torch.vmap: {text}",
            "avoid branches and .item() on values, or declare vectorizable = False",
        )


def _backward(outs: Any) -> None:
    total = sum(out.sum() for out in outs if out.requires_grad)
    if isinstance(total, Tensor):
        total.backward()


def _close(what: str, packed: Any, alone: Any, tolerance: float) -> None:
    for one, other in zip(packed, alone, strict=True):
        error = (one - other).abs() - tolerance * other.abs()
        require(
            bool((error <= tolerance / 10).all()),
            f"{what} of a seed in a pack differs from that of the seed alone by {error.max().item():.3g}",
            "let no value depend on other seeds, or declare vectorizable = False",
        )
