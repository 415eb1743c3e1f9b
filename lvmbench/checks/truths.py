"""What the metrics are whose names evaluators share, by means over draws."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lvmbench.checks.specimen import stream
from lvmbench.evaluator import Subject
from lvmbench.terms import Terms

DRAWS = 4000


@torch.no_grad()
def _terms(subject: Subject, samples: int = DRAWS) -> Terms:
    return Terms(subject.model, subject.x, stream("truth"), samples)


def _average(draws: Tensor) -> tuple[float, float]:
    """The mean over draws and data, and its standard error."""
    means = draws.double().mean(1)
    return means.mean().item(), means.std().item() / len(draws) ** 0.5


@torch.no_grad()
def _elbo(subject: Subject) -> tuple[float, float]:
    return _average(_terms(subject).log_w())


@torch.no_grad()
def _rate(subject: Subject) -> tuple[float, float]:
    terms = _terms(subject)
    return _average(terms.log_q - terms.log_prior)


@torch.no_grad()
def _distortion(subject: Subject) -> tuple[float, float]:
    return _average(-_terms(subject).log_likelihood)


@torch.no_grad()
def _bound(subject: Subject) -> tuple[float, float]:
    noise, objective = stream("bound"), subject.objective
    terms = [Terms(subject.model, subject.x, noise, objective.samples) for _ in range(400)]
    return _average(torch.stack([objective(t) for t in terms]))


TRUTHS: dict[str, Callable[[Subject], tuple[float, float]]] = {
    "elbo": _elbo,
    "bound": _bound,
    "rate": _rate,
    "distortion": _distortion,
}
"""Each with its standard error."""
