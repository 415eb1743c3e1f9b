"""What training and measuring take: counts that a plan knows, and the seconds that these are worth."""

from __future__ import annotations

from typing import NamedTuple

FIT = 3e-5
"""About how many seconds a point costs a clustering or a classifier, in some ten dimensions."""


class Effort(NamedTuple):
    """What measuring one run takes: how often the decoder is evaluated, how often a density q(z|x) by itself,
    how many gradients of a datum are taken, and to how many points something is fitted.
    """

    evaluations: int
    densities: int
    gradients: int = 0
    fits: int = 0


class Rates(NamedTuple):
    """Seconds that a trained model takes for q(z|x) of one datum, for one draw of z with its terms,
    for one density, and for the gradient of a datum.
    """

    datum: float
    draw: float
    density: float
    gradient: float = 0.0

    def seconds(self, effort: Effort, data: int) -> float:
        """About how long an evaluator takes for one run, whose model is asked for each of the data once."""
        asked = self.datum * data + self.draw * effort.evaluations + self.density * effort.densities
        return asked + self.gradient * effort.gradients + FIT * effort.fits


class Estimate(NamedTuple):
    """Seconds that a pack would train if no seed stopped early, and what measuring goes by.

    ``None`` where that fails.
    """

    training: float | None
    rates: Rates | None
