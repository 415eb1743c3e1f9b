"""Checks of gradient estimators: with each objective of the catalogue, on a toy model whose expectations are known."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lvmbench.checks.contract import Skip, applies, contract
from lvmbench.checks.objectives import _double
from lvmbench.checks.partners import with_samples
from lvmbench.checks.specimen import Specimen
from lvmbench.checks.statistics import require_average
from lvmbench.checks.toys import Toy, expectation, toys
from lvmbench.names import Ref
from lvmbench.terms import Terms

GROUPS, DRAWS = 100, 200
"""An average gradient is tested over groups of draws."""


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
    read="estimator.Estimate",
)
def reported_bound_is_the_objectives(specimen: Specimen) -> None:
    for name, toy in _pairs(specimen):
        repeats = (
            50 if toy.parts.objective.batchwise else 2000
        )  # the cost of a bound of the batch is its square
        x = toy.x.repeat_interleave(repeats, 0)
        for kl_weight in (1.0, 0.3):
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
    applies(specimen.build().unbiased, "it is not declared unbiased")
    compared = 0
    for name, toy in _pairs(specimen):
        if not toy.parts.estimator.is_unbiased(toy.provided):
            continue
        weights = list(toy.model.parameters())
        try:
            exact = torch.cat(torch.autograd.grad(expectation(toy, 0), weights, materialize_grads=True))
        except Skip:
            continue
        compared += 1
        require_average(
            _gradients(toy, weights),
            exact,
            f"a derivative of the surrogate ({name})",
            "look for a baseline that depends on its own sample, a missing score term or detach(); or declare unbiased = False",
            slack=1e-8,
        )
    applies(compared > 0, "no objective has a known expectation")


def _gradients(toy: Toy, weights: list[torch.nn.Parameter]) -> torch.Tensor:
    noise, groups = _double("groups"), []
    x = toy.x[:1].expand(DRAWS, 1)
    for _ in range(GROUPS):
        surrogate = toy.parts.estimator(toy.parts.objective, toy.model, x, noise).surrogate.mean()
        groups.append(torch.cat(torch.autograd.grad(surrogate, weights, materialize_grads=True)))
    return torch.stack(groups)
