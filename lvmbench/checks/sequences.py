"""Checks of parts over steps: what the end of a sequence means to them, and what each step sees."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lvmbench.checks.contract import applies, contract, require
from lvmbench.checks.sources import lengthy
from lvmbench.checks.specimen import Specimen, Trial
from lvmbench.distributions import Steps
from lvmbench.terms import Terms

STEPS = "distributions.steps.Steps"
SLACK = 1e-8
"""What rounding may change, in double precision, beside the size of a figure."""


def _along(specimen: Specimen) -> Trial:
    """It at work on sequences of several lengths, the first of which is the longest."""
    case = specimen.bench.find({specimen.kind: specimen.ref}, sources=lengthy())
    applies(case is not None, "it is not over steps")
    assert case is not None
    return Trial.of(specimen.kind, case, dtype=torch.float64)


@contract(
    "prior",
    "posterior",
    due="After its end nothing of a sequence counts: densities and gradients are those of each one alone.",
    read=STEPS,
    explains=("works_with_every_partner",),
)
def nothing_counts_after_the_end(specimen: Specimen) -> None:
    trial = _along(specimen)
    hint = "sum over the steps that memory.lasting has, as Steps.total does"
    for name, together, alone in _figures(trial):
        _agree(f"{name} of a sequence among longer ones", together, alone, hint)
    found = [_gradients(trial, parts) for parts in ([trial.x], _each(trial.x))]
    for name, together in found[0].items():
        _agree(f"the gradient of {name} from sequences among longer ones", together, found[1][name], hint)


def _each(x: Tensor) -> list[Tensor]:
    """Each sequence as a batch of its own, up to its end."""
    lengths = (~x.isnan()).flatten(2).any(2).sum(1).tolist()  # those of the check have no holes
    return [row[None, :length] for row, length in zip(x, lengths, strict=True)]


@torch.no_grad()
def _figures(trial: Trial) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Each log density, of all sequences together and of each alone, ``(K, B)``."""
    whole = _terms(trial, trial.x, trial.z)
    rows = enumerate(_each(trial.x))
    alone = [_terms(trial, x, trial.z[:, i : i + 1, : x.shape[1]]) for i, x in rows]
    for name in ("log_prior", "log_q", "log_likelihood"):
        yield name, getattr(whole, name), torch.cat([getattr(one, name) for one in alone], 1)


def _terms(trial: Trial, x: Tensor, z: Tensor) -> Terms:
    return Terms.at(trial.model, x, z, trial.noise())


def _gradients(trial: Trial, batches: list[Tensor]) -> dict[str, Tensor]:
    """The gradient of the sum of all log weights, by the name of the weight."""
    trial.zero_grad()
    start = 0
    for x in batches:
        rows, start = slice(start, start + len(x)), start + len(x)
        _terms(trial, x, trial.z[:, rows, : x.shape[1]]).log_w().sum().backward()
    return {name: w.grad.clone() for name, w in trial.named_parameters() if w.grad is not None}


def _agree(what: str, found: Tensor, due: Tensor, hint: str) -> None:
    require(bool(found.isfinite().all()), f"{what} is not finite", hint)
    error = (found - due).abs().max().item()
    require(
        error <= SLACK * (1 + due.abs().max().item()),
        f"{what} is off by {error:.3g} from its own alone",
        hint,
    )


@contract(
    "prior",
    "posterior",
    due="The law of a step depends on the steps before it alone, and under a posterior that provides "
    "'filtering' on x no later than at it.",
    read="prior.SequencePrior",
)
@torch.no_grad()
def steps_see_nothing_of_later_ones(specimen: Specimen) -> None:
    trial = _along(specimen)
    p, x, z = trial.call(), trial.x, trial.z
    require(isinstance(p, Steps), f"it returns a {type(p).__name__} over steps", "return a Steps")
    late = {"prior": 0, "posterior": 1}[specimen.kind]  # the first x that the law of a step must not see
    blind = specimen.kind == "prior" or "filtering" in trial.component.provides
    before = _laws(trial)
    for t in range(x.shape[1]):
        trial.z = _otherwise(z, 1, t)
        trial.x = _otherwise(x, 0, t + late) if blind else x
        for one, two in zip(before, _laws(trial), strict=True):
            moved = (one - two)[:, :1, : t + 1].abs().max().item()
            require(
                moved <= SLACK,
                f"the law of a step changes by {moved:.3g} with what comes after what it may depend on",
                "let a context be of the steps before it" + (", and read x in its order" if blind else ""),
            )


def _otherwise(values: Tensor, batch: int, start: int) -> Tensor:
    """Values with a batch dimension, then steps, the first datum of which is from a step on as the second."""
    one, two = (values.narrow(batch, i, 1) for i in (0, 1))
    time = batch + 1
    rest = values.narrow(batch, 1, values.shape[batch] - 1)
    changed = torch.cat([one.narrow(time, 0, start), two.narrow(time, start, two.shape[time] - start)], time)
    return torch.cat([changed, rest], batch)


def _laws(trial: Trial) -> tuple[Tensor, Tensor]:
    """What tells the law of each step: its density at a fixed place, and a draw of it, ``(K, B, T)``."""
    p = trial.call()
    assert isinstance(p, Steps)
    laws = p.given(trial.z)
    drawn = laws.sample(trial.noise("laws"), 1)[0]
    return laws.log_prob(torch.zeros_like(trial.z)), drawn.sum(-1)
