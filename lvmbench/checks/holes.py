"""Checks of what a component makes of data of which not all was observed, unless it requires that all was."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lvmbench.checks.contract import applies, contract, require
from lvmbench.checks.partners import Case
from lvmbench.checks.sources import Source, holed
from lvmbench.checks.specimen import Specimen, Trial
from lvmbench.checks.subjects import measure, subject_of
from lvmbench.distributions import Distribution
from lvmbench.errors import Refusal

READ = "observation.observed"
COMPLETE = "dataset.complete"
POINTS = 801
"""The points of a quadrature over one value."""
COUNTS = 2000
"""Counts are summed over below this."""
SLACK = 0.01
"""In nats: what quadrature may miss of heavy tails, and less than a value that is left out is worth."""


@contract(
    "posterior",
    "decoder",
    "objective",
    "estimator",
    due="Where not all of x was observed, bounds and gradients are finite, or it requires dataset.complete.",
    read=READ,
)
def holes_leave_gradients_finite(specimen: Specimen) -> None:
    applies(COMPLETE not in specimen.cls.requires, "it requires complete data")
    trial = specimen.trial(sources=holed())
    estimate = trial.estimator(trial.objective, trial.model, trial.x, trial.noise())
    hint = "take values and mask from lvmbench.observed first, and mask what was made of the values"
    _finite({"the bound": estimate.bound, "the surrogate": estimate.surrogate}, hint)
    if estimate.surrogate.requires_grad:
        estimate.surrogate.sum().backward()
    weights = trial.model.named_parameters()
    _finite({f"the gradient of {name}": w.grad for name, w in weights if w.grad is not None}, hint)


def _finite(figures: dict[str, Tensor], hint: str) -> None:
    bad = [name for name, value in figures.items() if not bool(value.isfinite().all())]
    require(not bad, f"with values that were not observed {', '.join(bad)} is not finite", hint)


@contract(
    "decoder",
    due="The density of what was observed is that of all, with what was not summed or integrated out.",
    read="distributions.base.Distribution.observed_log_prob",
)
@torch.no_grad()
def observed_density_is_the_marginal(specimen: Specimen) -> None:
    trial = specimen.trial(dtype=torch.float64)
    applies(COMPLETE not in trial.component.requires, "it requires complete data")
    p, (first, *_) = trial.call(), trial.x.flatten(1).T
    hint = f"override observed_log_prob of {type(p).__name__}, or declare that it requires {COMPLETE}"
    _agree("with every value", p.observed_log_prob(trial.x), p.log_prob(trial.x), hint)
    values, weights = _values(trial, p, first)
    each = p.log_prob(_with_first(trial.x, values))  # (V, K, B)
    found = p.observed_log_prob(_with_first(trial.x, torch.full_like(values[:1], torch.nan)))[0]
    _agree("without the first value", found, (each + weights.log()).logsumexp(0), hint)


def _agree(what: str, found: Tensor, due: Tensor, hint: str) -> None:
    error = (found - due).abs().max().item()
    require(error <= SLACK, f"{what} the density of what was observed is off by {error:.3g} nats", hint)


def _with_first(x: Tensor, values: Tensor) -> Tensor:
    """x ``(B, *x)`` with other first values ``(V, K, B)``: shape ``(V, K, B, *x)``."""
    rows = x.flatten(1).expand(*values.shape, -1)
    return torch.cat([values.unsqueeze(-1), rows[..., 1:]], -1).reshape(*values.shape, *x.shape[1:])


def _values(trial: Trial, p: Distribution, first: Tensor) -> tuple[Tensor, Tensor]:
    """Every value that the first of x may have, ``(V, K, B)``, and its weight in a sum."""
    summary, like = trial.case.source.summary, first.expand(len(trial.z), len(first))
    support, one = summary.support, torch.ones((), dtype=first.dtype)
    if p.support == "levels":
        return _each(torch.arange(summary.levels, dtype=first.dtype) * summary.step, like), one
    if support in ("binary", "count"):
        values = torch.arange(2.0 if support == "binary" else COUNTS, dtype=first.dtype)
        return _each(values, like), one
    if "dataset.unit" in trial.component.requires:
        inside = (torch.arange(POINTS, dtype=first.dtype) + 0.5) / POINTS
        return _each(inside, like), torch.tensor(1 / POINTS, dtype=first.dtype)
    draws = p.sample(trial.noise("values"), 200).flatten(3)[..., 0]  # (200, K, B)
    low, high = draws.amin(0), draws.amax(0)
    spread = high - low
    points = torch.linspace(-1, 2, POINTS, dtype=first.dtype).reshape(-1, 1, 1)
    return low + spread * points, 3 * spread / (POINTS - 1)


def _each(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * like.dim()).expand(-1, *like.shape)


@contract(
    "evaluator",
    due="What it measures of complete data it measures where not all of x was observed, or it requires "
    "dataset.complete.",
    read=READ,
)
def holes_are_measured(specimen: Specimen) -> None:
    requires = frozenset(specimen.build().requires)
    applies(COMPLETE not in requires, "it requires complete data")
    case = specimen.bench.find({}, requires, holed())
    applies(case is not None, "no combination for data with holes meets its requirements")
    assert case is not None
    reason = _refused(specimen, case)
    assert case.source.full is not None
    filled = replace(case, source=Source.of("the same data without holes", case.source.full))
    require(
        not reason or bool(_refused(specimen, filled)),
        f"it refuses data with values that were not observed, and would not without: {reason}",
        f"take values and mask from lvmbench.observed, or declare that it requires {COMPLETE}",
    )


def _refused(specimen: Specimen, case: Case) -> str:
    """Why a combination is not measured, or nothing where it is."""
    try:
        measure(specimen, subject_of(specimen, case))
    except Refusal as refusal:
        return str(refusal)
    return ""
