"""What several evaluators need: figures with their Monte Carlo error, and posterior means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from lvmbench import Measurement, Noise, Refusal, Subject

Several = Annotated[int, Field(ge=2)]
"""A number of draws that a variance can be estimated from."""


class Figure(NamedTuple):
    """One figure of each datum, ``(B,)``, and its Monte Carlo variance, ``(B,)``, where it is known.

    ``size``, ``(B,)``, is that of the numbers it was computed from, whose rounding is part of its error.
    """

    value: Tensor
    variance: Tensor | None
    size: Tensor | None = None


Figures = dict[tuple[str, str, str], Figure]
"""Figures of a batch by metric, variant and method."""


def known(value: Tensor) -> Figure:
    """A figure without Monte Carlo error."""
    return Figure(value, torch.zeros_like(value))


def drawn(draws: Tensor, value: Tensor | None = None, size: Tensor | None = None) -> Figure:
    """A figure that is, or to first order varies as, the mean of independent draws, ``(S, B)``."""
    return Figure(draws.mean(0) if value is None else value, draws.var(0) / len(draws), size)


def measurements(batches: Sequence[Figures]) -> list[Measurement]:
    """The mean over data of each figure; its error is that of the draws, independent between data."""
    return [_measurement(*key, [figures[key] for figures in batches]) for key in batches[0]]


def _measurement(metric: str, variant: str, method: str, batches: list[Figure]) -> Measurement:
    value = torch.cat([figure.value for figure in batches]).cpu()
    variances = [figure.variance for figure in batches if figure.variance is not None]
    stderr = torch.cat(variances).double().sum().sqrt().item() / len(value) if variances else None
    sizes = [figure.size for figure in batches if figure.size is not None]
    if stderr is not None and sizes:
        stderr = math.hypot(stderr, torch.finfo(value.dtype).eps * torch.cat(sizes).abs().mean().item())
    if not (value.isfinite().all() and math.isfinite(stderr or 0.0)):
        raise Refusal(
            f"{metric} or its error is not finite, for {(~value.isfinite()).sum()} of {len(value)} data"
        )
    return Measurement(metric, value.double().mean().item(), stderr, variant, method, value)


@torch.no_grad()
def posterior_means(subject: Subject, values: Tensor, chunk: int = 8192) -> Tensor:
    """The posterior means as vectors, ``(N, D)``, in double precision and main memory."""
    means = torch.cat([subject.model.q(x).mean.flatten(1) for x in torch.split(values, chunk)])
    if not means.isfinite().all():
        raise Refusal("the posterior's means are not finite")
    return means.double().cpu()


def training_means(subject: Subject, noise: Noise, most: int, chunk: int = 8192) -> tuple[Tensor, Tensor]:
    """The posterior means of at most so many training data, ``(N, D)``, and which ones, ``(N,)``.

    The data are drawn at random, and their values are as a training visit makes them.
    """
    values = subject.values("train")
    chosen = noise.uniform((len(values),)).argsort()[:most]
    values = values[chosen]
    if subject.data.visit is not None:
        values = subject.data.visit(values, noise)
    return posterior_means(subject, values, chunk), chosen.cpu()


def some_data(subject: Subject, count: int) -> Tensor:
    """At most so many data of the measured split, drawn without replacement: the same for each instrument."""
    x = subject.x
    if len(x) <= count:
        return x
    return x[subject.noise("some data").uniform((len(x),)).argsort()[:count]]


def of_some(found: list[Measurement], subject: Subject) -> list[Measurement]:
    """The measurements, without the figures of each datum where they are not those of the whole split."""
    return [
        replace(m, per_datum=None) if m.per_datum is not None and len(m.per_datum) < len(subject.x) else m
        for m in found
    ]
