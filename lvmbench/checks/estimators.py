"""Checks of gradient estimators: with each objective of the catalogue,
on a toy model whose expectations are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from lvmbench.checks.contract import Skip, applies, contract
from lvmbench.checks.expectations import expectation
from lvmbench.checks.objectives import Plain, _double
from lvmbench.checks.partners import Bench, with_samples
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.statistics import require_average
from lvmbench.checks.toys import Toy, toys
from lvmbench.noise import Recorder
from lvmbench.registry.names import Ref
from lvmbench.terms import Terms
from lvmbench.training.learner import Learner

TOGETHER, ALONE = (250, 80), (25, 1700)
"""An average gradient is tested over so many groups of so many draws, of steps that can be stacked and of
those that cannot: few groups have a spread that is known less well, and as much power of more draws.
"""
WEIGHTS = 1.0, 0.3
"""The KL weights of the end of training and of some step before:
a gradient that is right at one may be wrong at the other.
"""


def _pairs(specimen: Specimen) -> Iterator[tuple[str, Toy]]:
    """Toy models with each objective of the catalogue, at two samples."""
    found = False
    for ref in _objectives(specimen):
        objective = specimen.bench.catalogue.build("objective", ref).double()
        try:
            for toy in toys(objective, specimen.build().double()):
                found = True
                yield f"objective '{ref}', {toy.name}", toy
        except Skip:
            continue
    applies(found, "no toy model meets its requirements")


def _objectives(specimen: Specimen) -> list[Ref]:
    catalogue = specimen.bench.catalogue
    return list(dict.fromkeys(with_samples(catalogue, ref, 2) for ref in specimen.bench.offers["objective"]))


@contract(
    "estimator",
    due="The reported bound is the objective's value, not the surrogate.",
    read="objective.Estimate",
)
def reported_bound_is_the_objectives(specimen: Specimen) -> None:
    for name, toy in _pairs(specimen):
        # the cost of a bound of the batch is its square
        repeats = 50 if toy.parts.objective.batchwise else 2000
        x = toy.x.repeat_interleave(repeats, 0)
        for kl_weight in WEIGHTS:
            with torch.no_grad():
                bound = toy.parts.estimator(
                    toy.parts.objective, toy.model, x, _double("one"), kl_weight
                ).bound
                terms = Terms(toy.model, x, _double("one"), toy.parts.objective.samples)
                value = toy.parts.objective(terms, kl_weight)
            require_average(
                (bound - value).unflatten(0, (-1, repeats)).T,
                0.0,
                f"bound minus objective with KL weight {kl_weight} ({name})",
                "return the objective's own value as bound, and pass kl_weight on to it",
                slack=1e-9,
            )


@contract(
    "estimator",
    due="Where unbiased, the surrogate's average gradient is that of the bound's expectation.",
    read="estimator.Estimator",
)
def unbiased_gradient_averages_to_the_exact_one(specimen: Specimen) -> None:
    built = specimen.build()
    applies(built.unbiased, "it is not declared unbiased")
    applies("objective.surrogate" not in built.requires, "what is unbiased is the objective's to say")
    compared = 0
    for name, toy in _pairs(specimen):
        if not toy.parts.estimator.is_unbiased(toy.provided):
            continue
        try:
            for kl_weight in WEIGHTS:
                _compare(specimen.bench, name, toy, kl_weight)
        except Skip:
            continue
        compared += 1
    applies(compared > 0, "no objective has a known expectation")


def _compare(bench: Bench, name: str, toy: Toy, kl_weight: float) -> None:
    """Of a bound of each datum alone to its exact expectation.

    Of one of the batch to the pathwise gradient's average.
    """
    if toy.parts.objective.batchwise:
        applies("posterior.pathwise" in toy.provided, "its expectation is not known")
        applies(toy.parts.vectorizable, "so many batches are too many one by one")
        found = _of_batches(toy, kl_weight, "groups") - _pathwise(bench, name, toy, kl_weight)
        due = torch.zeros_like(found[0])
    else:
        due = _derivatives(expectation(toy, 0, kl_weight), toy.model.parameters())
        found = _of_data(toy, kl_weight)
    require_average(
        found,
        due,
        f"a derivative of the surrogate with KL weight {kl_weight} ({name})",
        "look for a baseline that depends on its own sample, a missing score term, a KL weight left out, "
        "the other data of a batch, or detach(); or declare unbiased = False",
        slack=1e-8,
    )


def _derivatives(value: Tensor, weights: Iterable[Tensor], lead: int = 0) -> Tensor:
    """The gradient of a figure in all weights, whose first ``lead`` dimensions are kept."""
    found = torch.autograd.grad(value, list(weights), materialize_grads=True)
    return torch.cat([gradient.flatten(lead) for gradient in found], lead)


def _of_data(toy: Toy, kl_weight: float) -> Tensor:
    """Average gradients of groups of draws, ``(G, P)``, each draw a datum of one batch."""
    groups, draws = TOGETHER if toy.parts.vectorizable else ALONE
    x = toy.x[:1].expand(draws, *toy.x.shape[1:])
    return _of_groups(toy, x, kl_weight, "groups", groups, 1)


def _of_batches(toy: Toy, kl_weight: float, word: str) -> Tensor:
    """The same, each draw a batch of its own."""
    return _of_groups(toy, toy.x, kl_weight, word, *TOGETHER)


def _pathwise(bench: Bench, name: str, toy: Toy, kl_weight: float) -> Tensor:
    """The same of the pathwise gradient, found once for all estimators that are held against it."""
    known, key = _PATHWISE.setdefault(bench, {}), (name, kl_weight)
    if key not in known:
        plain = toy._replace(parts=replace(toy.parts, estimator=Plain()))
        known[key] = _of_batches(plain, kl_weight, "others")
    return known[key]


_PATHWISE: WeakKeyDictionary[Bench, dict[tuple[str, float], Tensor]] = WeakKeyDictionary()
"""By the name of the toy model and the KL weight."""


def _of_groups(toy: Toy, x: Tensor, kl_weight: float, word: str, groups: int, steps: int) -> Tensor:
    """Average gradients of so many steps with a batch, ``(groups, P)``.

    Each group has weights of its own, so that one way back gives the gradients of all.
    """
    learner, recorder, noise = Learner(toy.parts), Recorder(_double("recording")), _double(word)
    learner.estimate(x, recorder, kl_weight, True)  # and so baselines have seen a step
    drawn = [
        draw((groups * steps, count))
        for draw, count in zip((noise.normal, noise.uniform), recorder.demand, strict=True)
    ]
    weights = {
        n: w.detach().expand(groups, *w.shape).clone().requires_grad_() for n, w in learner.named_parameters()
    }
    buffers = {n: b.expand(groups * steps, *b.shape).clone() for n, b in learner.named_buffers()}

    def surrogate(weights: Any, buffers: Any, normals: Tensor, uniforms: Tensor) -> Tensor:
        step: tuple[Tensor, Tensor] = functional_call(
            learner, (weights, buffers), (x, normals, uniforms, kl_weight, True)
        )
        return step[0]

    each = {name: weight.repeat_interleave(steps, 0) for name, weight in weights.items()}
    run = vmap(surrogate) if toy.parts.vectorizable else _in_turn(surrogate)
    total = run(each, buffers, *drawn).sum() / steps
    return _derivatives(total, [w for n, w in weights.items() if n.startswith("model.")], 1)


def _in_turn(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What `torch.vmap` does, one after the other."""

    def every(weights: Any, buffers: Any, *drawn: Tensor) -> Tensor:
        return torch.stack(
            [
                run(
                    {n: w[i] for n, w in weights.items()},
                    {n: b[i] for n, b in buffers.items()},
                    *(d[i] for d in drawn),
                )
                for i in range(len(drawn[0]))
            ]
        )

    return every
