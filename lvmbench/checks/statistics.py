"""Tests of averages, with a stated rate of false alarms."""

from __future__ import annotations

import math

import torch
from scipy.special import stdtrit
from torch import Tensor

from lvmbench.checks.contract import Hint, require

FALSE_ALARMS = 1e-6
"""How often a check fails by chance where all is well, at most, for each choice of options.

Noise is fixed besides.
"""
AVERAGES = 100
"""A check compares averages at most so many times, and the rate is shared out among them."""


def limit(freedom: float, figures: int, rate: float = FALSE_ALARMS / AVERAGES) -> float:
    """How many standard errors each of several averages may be off,
    at a rate of false alarms for all of them together.

    >>> 4.8 < limit(20_000, 1, 1e-6) < 5.0
    True
    """
    return float(-stdtrit(freedom, rate / 2 / max(figures, 1)))


def require_average(
    draws: Tensor,
    truth: Tensor | float,
    what: str,
    hint: Hint = "",
    *,
    slack: float = 1e-6,
    above: bool = False,
    rate: float = FALSE_ALARMS / AVERAGES,
) -> None:
    """The average of independent ``draws``, ``(N, ...)``, is ``truth``,
    or with ``above`` at least no more than it.
    """
    draws, n = draws.detach().double(), len(draws)
    mean, error = draws.mean(0), draws.std(0) / math.sqrt(n)
    expected = torch.as_tensor(truth).detach().double().expand_as(mean)
    excess = mean - expected if above else (mean - expected).abs()
    allowed = limit(n - 1, mean.numel(), rate) * error + slack * (1 + expected.abs())
    ratio = (excess / allowed).flatten().nan_to_num(nan=math.inf)
    worst = int(ratio.argmax())
    found, due, spread = (t.flatten()[worst].item() for t in (mean, expected, error))
    relation = "at most " if above else ""
    came = (
        f"{what} should be {relation}{due:.5g}, the average of {n} draws is {found:.5g} "
        f"(standard error {spread:.2g})"
    )
    require(bool(ratio[worst] <= 1), came, hint)
