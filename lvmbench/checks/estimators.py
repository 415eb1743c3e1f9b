"""Checks of gradient estimators: with each objective of the catalogue,
on a toy model whose expectations are known.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import vmap

from lvmbench.checks.contract import Skip, applies, contract
from lvmbench.checks.expectations import expectation
from lvmbench.checks.objectives import Plain, _double
from lvmbench.checks.partners import with_samples
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.statistics import require_average
from lvmbench.checks.toys import Toy, toys
from lvmbench.noise import Buffer, Noise, Recorder
from lvmbench.registry.names import Ref
from lvmbench.terms import Terms

GROUPS, DRAWS = 25, 1700
"""An average gradient is tested over groups of draws."""
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
                _compare(name, toy, kl_weight)
        except Skip:
            continue
        compared += 1
    applies(compared > 0, "no objective has a known expectation")


def _compare(name: str, toy: Toy, kl_weight: float) -> None:
    """Of a bound of each datum alone to its exact expectation.

    Of one of the batch to the pathwise gradient's average.
    """
    if toy.parts.objective.batchwise:
        plain = toy._replace(parts=replace(toy.parts, estimator=Plain()))
        applies("posterior.pathwise" in toy.provided, "its expectation is not known")
        found = _of_batches(toy, kl_weight, "groups") - _of_batches(plain, kl_weight, "others")
        due = torch.zeros_like(found[0])
    else:
        due, found = _derivatives(expectation(toy, 0, kl_weight), toy), _of_data(toy, kl_weight)
    require_average(
        found,
        due,
        f"a derivative of the surrogate with KL weight {kl_weight} ({name})",
        "look for a baseline that depends on its own sample, a missing score term, a KL weight left out, "
        "the other data of a batch, or detach(); or declare unbiased = False",
        slack=1e-8,
    )


def _derivatives(value: Tensor, toy: Toy) -> Tensor:
    found = torch.autograd.grad(value, list(toy.model.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])


def _of_data(toy: Toy, kl_weight: float) -> Tensor:
    """Average gradients of groups of draws, ``(GROUPS, P)``, each draw a datum of one batch."""
    noise, x = _double("groups"), toy.x[:1].expand(DRAWS, *toy.x.shape[1:])
    return torch.stack([_derivatives(_surrogate(toy, x, noise, kl_weight), toy) for _ in range(GROUPS)])


def _of_batches(toy: Toy, kl_weight: float, word: str) -> Tensor:
    """The same, each draw a batch of its own; what an estimator keeps from step to step stays as it is."""
    toy = toy._replace(parts=replace(toy.parts, estimator=copy.deepcopy(toy.parts.estimator).eval()))
    noise, recorder = _double(word), Recorder(_double("recording"))
    _surrogate(toy, toy.x, recorder, kl_weight)

    def one(normals: Tensor, uniforms: Tensor) -> Tensor:
        return _surrogate(toy, toy.x, Buffer(normals, uniforms), kl_weight)

    def group() -> Tensor:
        normals, uniforms = recorder.demand
        drawn = noise.normal((DRAWS, normals)), noise.uniform((DRAWS, uniforms))
        return _derivatives(vmap(one)(*drawn).mean(), toy)

    return torch.stack([group() for _ in range(GROUPS)])


def _surrogate(toy: Toy, x: Tensor, noise: Noise, kl_weight: float) -> Tensor:
    value: Tensor = toy.parts.estimator(toy.parts.objective, toy.model, x, noise, kl_weight).surrogate.mean()
    return value
