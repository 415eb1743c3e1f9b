"""A difference of two, paired by seed and by datum: where it lies, whether it matters, how to find out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import nctdtr, stdtr, stdtrit

from lvmbench.results.statistics import Flags, holm

Array = npt.NDArray[np.float64]
MOST_SEEDS = 1000
"""Of more seeds than these nobody is told that they would be needed."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


class Chances(NamedTuple):
    """The probabilities that a difference is below, within and above a region around zero."""

    below: float
    within: float
    above: float


@dataclass(frozen=True)
class Comparison:
    r"""What ``n`` seeds, and ``data`` test data where these are known one by one, say of a - b.

    With :math:`d_{sn}` the difference of seed s at datum n, both drawn at random, and MS the mean squares of
    seeds, data and the rest,

    .. math:: d_{sn} = \delta + u_s + v_n + r_{sn}, \qquad
              \delta = \bar d + e_u t_{S-1} + e_v t_{N-1}, \qquad
              e_u^2 = \frac{\mathrm{MS}_u}{SN}, \quad
              e_v^2 = \frac{(\mathrm{MS}_v - \mathrm{MS}_r)_+}{SN}

    with two independent Student t: the distribution of Behrens and Fisher, which is that of :math:`\delta`
    given what was found, if nothing was known before. Without figures of single data, :math:`e_v = 0`, and it
    is the paired t test: about other seeds, but the same data.

    It assumes that seeds, and data, are independent and that their means are near normal. An interval of 95%
    leaves the truth out in at most 5% of cases, in fewer where seeds are few and both errors matter.

    References:
        - The fiducial argument in statistical inference (Fisher, 1935),
          https://doi.org/10.1111/j.1469-1809.1935.tb02120.x
        - Time for a Change: a Tutorial for Comparing Multiple Classifiers Through Bayesian Analysis
          (Benavoli, Corani, Demsar, Zaffalon, 2017), https://arxiv.org/abs/1606.04316

    Arguments:
        difference: The mean of a - b; none where they have no seed in common.
        n: The number of common seeds; below two nothing is said of the truth.
        of_seeds: The standard error that seeds leave, :math:`e_u`.
        data: The number of data; none where only means over them are known.
        of_data: The standard error that data leave, :math:`e_v`.
    """

    difference: float | None
    n: int
    of_seeds: float = 0.0
    data: int | None = None
    of_data: float = 0.0

    @classmethod
    def by_seed(cls, differences: npt.ArrayLike) -> Comparison:
        """Of one difference for each seed, ``(S,)``.

        >>> c = Comparison.by_seed([1.0, 0.0, 2.0])
        >>> c.difference, round(c.p, 4), c.n
        (1.0, 0.2254, 3)
        """
        d = np.asarray(differences, dtype=float)
        if len(d) < 2:
            return cls(float(d.mean()) if len(d) else None, len(d))
        return cls(float(d.mean()), len(d), float(d.std(ddof=1) / np.sqrt(len(d))))

    @classmethod
    def by_seed_and_datum(cls, differences: npt.ArrayLike) -> Comparison:
        """Of one difference for each seed and datum, ``(S, N)``; two data or more.

        >>> c = Comparison.by_seed_and_datum([[1.0, 2.0, 3.0], [0.0, 2.0, 1.0]])
        >>> c.difference, c.data, round(c.of_seeds, 3), round(c.of_data, 3)
        (1.5, 3, 0.5, 0.408)
        """
        d = np.asarray(differences, dtype=float)
        seeds, data = d.shape
        if seeds < 2:
            return cls(float(d.mean()), seeds, data=data)
        rows, columns = d.mean(axis=1, keepdims=True), d.mean(axis=0, keepdims=True)
        rest = np.square(d - rows - columns + d.mean()).sum() / ((seeds - 1) * (data - 1))
        of_data = seeds * columns.var(ddof=1) - rest
        errors = (rows.std(ddof=1) / np.sqrt(seeds), np.sqrt(max(of_data, 0.0) / d.size))
        return cls(float(d.mean()), seeds, float(errors[0]), data, float(errors[1]))

    @property
    def low(self) -> float | None:
        """The lower end of the 95% interval; none below two seeds."""
        return None if self.difference is None or self.n < 2 else self.difference - self.half_width()

    @property
    def high(self) -> float | None:
        """The upper end of the 95% interval; none below two seeds."""
        return None if self.difference is None or self.n < 2 else self.difference + self.half_width()

    @property
    def p(self) -> float | None:
        """The two-sided p of no difference; none below two seeds."""
        if self.difference is None or self.n < 2:
            return None
        return 2 * self._cdf(-abs(self.difference))

    def chances(self, region: float) -> Chances | None:
        """How probable it is that the difference is below -region, within, or above region.

        None below two seeds.

        >>> [round(chance, 3) for chance in Comparison.by_seed([1.0, 0.0, 2.0]).chances(0.5)]
        [0.061, 0.178, 0.761]
        """
        if self.difference is None or self.n < 2:
            return None
        below, above = self._cdf(-region - self.difference), self._cdf(self.difference - region)
        return Chances(below, max(0.0, 1 - below - above), above)

    def half_width(self, level: float = 0.95) -> float:
        """Half the width of the interval at this level; NaN below two seeds."""
        if self.n < 2:
            return float("nan")
        most = sum(error * stdtrit(freedom, (1 + level) / 2) for error, freedom in self._errors)
        if self.of_data == 0 or self.of_seeds == 0:
            return float(most)
        from scipy.optimize import brentq  # which takes as long to import as all that boards need of scipy

        return float(brentq(lambda x: self._cdf(x) - (1 + level) / 2, 0.0, 2 * most, xtol=1e-9 * most))

    @cached_property
    def _errors(self) -> list[tuple[float, int]]:
        """The two standard errors with their degrees of freedom, the smaller one first."""
        return sorted([(self.of_seeds, self.n - 1), (self.of_data, (self.data or 2) - 1)])

    def _cdf(self, x: float) -> float:
        """The chance that the difference is at most x above its mean."""
        (small, few), (large, many) = self._errors
        if large == 0:
            return float(np.heaviside(x, 0.5))
        if small == 0:
            return float(stdtr(many, x / large))
        # over the narrower of the two, so that what is summed is smooth whatever their ratio
        inner = stdtrit(few, (1 + _NODES) / 2)
        return float(_WEIGHTS @ stdtr(many, (x - small * inner) / large) / 2)


def told_apart(found: Sequence[Comparison], alpha: float) -> Flags:
    """Which of some differences are not 0, by Holm's limits for all of them."""
    return holm(np.array([np.nan if one.p is None else one.p for one in found], dtype=float), alpha)


def paired_difference(a: pd.Series[float], b: pd.Series[float]) -> Comparison:
    """Compare two by their common seeds alone; values are indexed by seed, and missing ones are left out."""
    return Comparison.by_seed((a - b).astype(float).dropna())


def seeds_to_call(found: Comparison, level: float = 0.95, power: float = 0.8) -> int | None:
    """The fewest seeds with which the interval would leave out 0 with this chance, if difference and spread
    were what was found: the power of a t test, by the noncentral t distribution. It is as uncertain as these.

    None where that cannot be told: below two seeds, without any difference, beyond `MOST_SEEDS`, or where the
    data leave too large an error for any number of seeds.

    >>> few = Comparison.by_seed([1.0, 0.0, 2.0])
    >>> few.n, seeds_to_call(few)
    (3, 10)
    """
    if not found.difference or found.n < 2 or found.of_seeds == found.of_data == 0:
        return None
    # by bisection, as the power grows with n
    most = range(2, MOST_SEEDS + 1)
    place = bisect_left(most, power, key=lambda n: _power(found, n, level))
    return most[place] if place < len(most) else None


def _power(found: Comparison, n: int, level: float) -> float:
    """The chance that so many seeds call a difference as it was found."""
    data = (found.data or 2) - 1
    by_seeds, by_data = found.of_seeds**2 * found.n / n, found.of_data**2
    variance = by_seeds + by_data
    freedom = variance**2 / (by_seeds**2 / (n - 1) + by_data**2 / data)
    t_seeds, t_data = stdtrit(n - 1, (1 + level) / 2), stdtrit(data, (1 + level) / 2)
    limit = np.sqrt((t_seeds**2 * by_seeds + t_data**2 * by_data) / variance)
    return float(1 - nctdtr(freedom, abs(found.difference or 0.0) / np.sqrt(variance), limit))
