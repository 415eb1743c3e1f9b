"""Checks of gradients: that they reach every parameter,
and agree with finite differences in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lvmbench.checks.contract import MODEL_PARTS, applies, contract, require
from lvmbench.checks.specimen import Specimen, Trial
from lvmbench.noise import Buffer, Recorder

STEP = 1e-6
READ = "distributions.base.Distribution"


@contract(*MODEL_PARTS, due="Gradients reach every parameter of the part, and are finite.", read=READ)
def gradient_reaches_every_parameter(specimen: Specimen) -> None:
    trial = specimen.trial()
    applies(bool(trial.trained), "it has no parameters")
    value, log_prob, *given = trial(trial.noise())
    p = trial.call()
    total = log_prob.sum() + sum(g.sum() for g in given)
    if "density" in p.traits:
        total = total + p.log_prob(value.detach()).sum()
    if "pathwise" in p.traits:
        total = total + value.square().sum()
    _reach(total, trial)


@contract(
    "objective",
    "estimator",
    due="Gradients of the surrogate reach every parameter of the model.",
    read="objective.Estimate",
)
def surrogate_reaches_every_parameter(specimen: Specimen) -> None:
    for trial in specimen.trials(batch=7):
        estimate = trial.parts.estimator(trial.parts.objective, trial.parts.model, trial.x, trial.noise())
        _reach(estimate.surrogate.sum(), trial)


@contract(
    "posterior",
    due="The slope that comes with samples is that of their log density, and has no gradient to any weight.",
    read=f"{READ}.sample_with_slope",
)
def slope_is_that_of_the_density(specimen: Specimen) -> None:
    """By way of the noise e: d log q(z(e)) / de is the slope, pulled back through z(e)."""
    trial = specimen.trial(frozenset({"posterior.pathwise", "posterior.slope"}), dtype=torch.float64)
    recorder = Recorder(trial.noise())
    trial.call().sample_and_log_prob(recorder, 3)
    numbers = [
        draw((count,)).requires_grad_()
        for draw, count in zip((trial.noise().normal, trial.noise().uniform), recorder.demand, strict=True)
    ]
    z, log_q, slope = trial.call().sample_with_slope(Buffer(*numbers), 3)
    require(not slope.requires_grad, "the slope carries a gradient", "detach it, or find it under no_grad")
    asked: dict[str, Any] = {"retain_graph": True, "materialize_grads": True}
    due = torch.cat(torch.autograd.grad(log_q.sum(), numbers, **asked))
    found = torch.cat(torch.autograd.grad(z, numbers, slope, **asked))
    error = (found - due).abs().max().item()
    require(
        error <= 1e-6 * (1 + due.abs().max().item()),
        f"along the samples' path log q changes otherwise than its slope says, by up to {error:.3g}",
        "look for a Jacobian or the gradient of a log determinant that is left out",
    )


def _reach(total: Tensor, trial: Trial) -> None:
    every = ", ".join(trial.trained)
    require(
        total.requires_grad,
        f"the result carries no gradient: no gradient reaches {every}",
        "look for detach() or no_grad()",
    )
    total.backward()
    missed = [n for n, w in trial.trained.items() if w.grad is None or not w.grad.any()]
    require(
        not missed, f"no gradient reaches {', '.join(missed)}", "use each parameter, and look for detach()"
    )
    bad = [n for n, w in trial.trained.items() if w.grad is not None and not w.grad.isfinite().all()]
    require(not bad, f"the gradient of {', '.join(bad)} is not finite")


@contract(
    *MODEL_PARTS,
    due="The gradient of the log density is that of finite differences.",
    read=f"{READ}.log_prob",
)
def density_gradient_agrees_with_differences(specimen: Specimen) -> None:
    trial = specimen.with_trait("density", dtype=torch.float64)
    p = trial.call()
    applies(bool(trial.trained), "it has no parameters")
    _not_fixed(trial)
    value = p.sample(trial.noise(), 3).detach()
    agree(lambda: trial.call().log_prob(value).sum(), trial.trained, "the log density of fixed values")


@contract(
    *MODEL_PARTS,
    due="Pathwise samples carry the gradients of finite differences at fixed noise; others are "
    "not declared pathwise.",
    read=READ,
)
def sample_gradient_agrees_with_differences(specimen: Specimen) -> None:
    trial = specimen.with_trait("pathwise", dtype=torch.float64)
    applies(
        "straight_through" not in trial.call().traits,
        "its gradients are declared to be straight-through ones",
    )
    _not_fixed(trial)
    others = {name: weight for name, weight in trial.parts.model.named_parameters() if weight.requires_grad}
    weights = trial.trained or others
    applies(bool(weights), "neither it nor its partners have parameters")
    agree(lambda: trial.call().sample(trial.noise(), 3).sin().sum(), weights, "the samples")
    agree(
        lambda: trial.call().sample_and_log_prob(trial.noise(), 3)[1].sum(),
        weights,
        "the log density of the samples",
    )


def _not_fixed(trial: Trial) -> None:
    applies("held_fixed" not in trial.component.provides, "it declares that it holds its inference fixed")


def agree(figure: Callable[[], Tensor], weights: dict[str, nn.Parameter], what: str) -> None:
    """The gradient of a figure along one direction in each weight is that of central differences."""
    value = figure()
    names = list(weights)
    require(value.requires_grad or _still(figure, weights), f"{what} carry no gradient", _hint())
    found = (
        torch.autograd.grad(value, [weights[n] for n in names], allow_unused=True, materialize_grads=True)
        if value.requires_grad
        else [torch.zeros_like(weights[n]) for n in names]
    )
    for name, gradient in zip(names, found, strict=True):
        direction = _direction(weights[name])
        exact = (gradient * direction).sum().item()
        measured = _difference(figure, weights[name], direction)
        scale = 1e-4 * (abs(exact) + abs(measured)) + 1e-8 * (1 + abs(value.item())) / STEP * 1e-6 + 1e-6
        require(
            abs(exact - measured) <= scale,
            f"the derivative of {what} along '{name}' is {exact:.6g} by autograd and "
            f"{measured:.6g} by differences",
            _hint(),
        )


def _hint() -> str:
    return "look for detach(), no_grad(), rounding or sampling that breaks the path"


def _direction(weight: Tensor) -> Tensor:
    signs = torch.arange(weight.numel(), dtype=weight.dtype).add(1).mul(1.7).sin()
    direction: Tensor = signs.reshape(weight.shape) / weight.numel() ** 0.5
    return direction


@torch.no_grad()
def _difference(figure: Callable[[], Tensor], weight: Tensor, direction: Tensor) -> float:
    original, values = weight.clone(), []
    for sign in (1, -1):
        weight.copy_(original + sign * STEP * direction)
        values.append(figure().item())
    weight.copy_(original)
    return (values[0] - values[1]) / (2 * STEP)


def _still(figure: Callable[[], Tensor], weights: dict[str, nn.Parameter]) -> bool:
    """Whether a figure does not depend on any of the weights."""
    return all(abs(_difference(figure, w, _direction(w))) < 1e-6 for w in weights.values())
