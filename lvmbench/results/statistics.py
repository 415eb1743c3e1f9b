"""Confidence intervals over training seeds, paired comparisons, and ranks that ties share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import log_ndtr, ndtri, stdtr, stdtrit

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` seeds and its confidence interval; a single seed gives no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


def half_width(deviation: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> Array:
    r"""Half the width of a mean's t interval, :math:`t_{n-1,(1+level)/2}\, s / \sqrt{n}`; NaN where n < 2.

    Arguments:
        deviation: The sample standard deviation s (divisor n - 1), any shape.
        n: The number of seeds, the same shape.
        level: The confidence level.

    >>> round(float(half_width(1.0, 3)), 4)
    2.4841
    """
    n = np.asarray(n, dtype=float)
    degrees = np.where(n >= 2, n - 1, np.nan)
    t = stdtrit(degrees, (1 + level) / 2)
    return np.asarray(t * np.asarray(deviation, dtype=float) / np.sqrt(np.maximum(n, 1)))


def mean_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The mean of the values of several seeds and its t interval, which assumes that seeds are near normal.

    Raises `ValueError` where a value is not finite or there is none.

    >>> mean_interval([1.0, 2.0, 3.0]).mean, mean_interval([1.0]).low
    (2.0, None)
    """
    array = np.asarray(values, dtype=float).ravel()
    if not array.size or not np.isfinite(array).all():
        raise ValueError(f"an interval needs finite values, got {array.tolist()}")
    mean, n = float(array.mean()), array.size
    if n < 2:
        return Interval(mean, None, None, n)
    width = float(half_width(array.std(ddof=1), n, level))
    return Interval(mean, mean - width, mean + width, n)


def together(errors: float, count: int) -> float:
    r"""By how many standard errors one of so many independent normal figures may be off, where the chance
    that any is off by more shall be what it is for a single one and ``errors`` (Sidak).

    >>> round(together(3, 1), 3), round(together(3, 84), 3)
    (3.0, 4.157)
    """
    log_all_within = log_ndtr(errors) + np.log1p(-np.exp(log_ndtr(-errors) - log_ndtr(errors)))
    beyond = -np.expm1(log_all_within / count)  # of each figure, on either side
    return float(-ndtri(beyond / 2))


def rank_groups(values: pd.DataFrame, better: str, alpha: float = 0.05) -> pd.DataFrame:
    r"""Order combinations by their mean and let those that cannot be told apart share a rank.

    Walking down from the best mean, a combination joins the current group unless it is told apart from the
    group's first member; then it opens a group, whose rank is its position among the ranked. Two combinations
    are told apart where both hold on their :math:`n` common seeds:

    - the interval of `paired_difference` at level ``1 - alpha`` leaves out 0, so that no rank says what a
      claim about the same two cannot;
    - so does Welch's test, which gives each of the two its own variance,

      .. math:: t = \frac{\bar a - \bar b}{\sqrt{(s_a^2 + s_b^2) / n}}, \qquad
                \nu = (n - 1) \frac{(s_a^2 + s_b^2)^2}{s_a^4 + s_b^4},

      and whose p is held against Holm's limits for all pairs of the table.

    So the chance that any pair of equal expectation is told apart is at most ``alpha`` for a table, however
    many rows it has and however their variances differ. It assumes that seeds are independent, near normal
    (heavy tails make it more careful; a strong skew does not) and not negatively correlated between rows;
    ``benchmarks/ranks.py`` has what it keeps, beside tests that do not.

    References:
        - The generalization of "Student's" problem when several different population variances are involved
          (Welch, 1947), https://doi.org/10.1093/biomet/34.1-2.28
        - A simple sequentially rejective multiple test procedure (Holm, 1979),
          https://www.jstor.org/stable/4615733

    Arguments:
        values: One row per seed, one column per combination; a run that gave no value is NaN.
        better: ``"higher"``, ``"lower"`` or ``"neither"``, where nothing is ranked.
        alpha: The chance of telling apart any combinations that do not differ.

    Returns:
        One row per combination, best first: ``mean``, ``n`` seeds, ``rank`` (missing where it cannot be
        called), ``note``: also where a row is not told apart from the first of a rank above its own.

    >>> seeds = pd.DataFrame({"a": [1.0, 1.1, 0.9], "b": [1.0, 1.2, 0.9], "c": [5.0, 5.1, 4.9]})
    >>> rank_groups(seeds, "higher")["rank"].to_dict()
    {'c': 1, 'b': 2, 'a': 2}
    """
    values = values.where(np.isfinite(values.astype(float))).astype(float)
    table = pd.DataFrame({"mean": values.mean(), "n": values.count()}, index=values.columns)
    table = table.sort_values("mean", ascending=better == "lower", kind="stable", na_position="last")
    if better not in ("higher", "lower"):
        return table.assign(
            rank=pd.array([pd.NA] * len(table), dtype="Int64"), note="this metric has no better direction"
        )
    ordered = values[table.index].to_numpy()
    ranks, notes = _walk(ordered if better == "higher" else -ordered, alpha)
    return table.assign(rank=pd.array(ranks, dtype="Int64"), note=notes)


def detectable_difference(values: pd.DataFrame, alpha: float = 0.05) -> float | None:
    """The difference below which `rank_groups` would not call the typical pair first; None below two seeds.

    It is the median over pairs of what each would need at the first of Holm's limits, ``alpha`` over their
    number.

    Arguments:
        values: One row per seed, one column per combination.
        alpha: As in `rank_groups`.
    """
    pairs = _pairs(_numbers(values))
    tested = pairs.n >= 2
    if not tested.any():
        return None
    return float(np.median(pairs.needed(alpha, int(tested.sum()))[tested]))


def _numbers(values: pd.DataFrame) -> Array:
    """The values of the combinations with two or more, ``(seeds, C)``; what is missing or infinite is NaN."""
    numbers = values.to_numpy(dtype=float)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return numbers[:, np.isfinite(numbers).sum(axis=0) >= 2]


def _moments(values: Array, counted: Flags) -> tuple[Array, Array, Array]:
    """Number, mean and sample variance of the values that are counted, ``(seeds, M)`` to ``(M,)``."""
    n = counted.sum(axis=0).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(counted, values, 0.0).sum(axis=0) / n
        return n, mean, (np.where(counted, values - mean, 0.0) ** 2).sum(axis=0) / (n - 1)


class _Differences:
    """What common seeds say of M pairs x - y, both ``(seeds, M)``: the one source of claims and of ranks."""

    def __init__(self, x: Array, y: Array) -> None:
        common = np.isfinite(x) & np.isfinite(y)
        self.n, self.mean, own = _moments(x - y, common)
        self.deviation = np.sqrt(own)
        self.variances = _moments(x, common)[2], _moments(y, common)[2]

    @cached_property
    def paired(self) -> Array:
        """The two-sided p of the t test on the differences of seeds; NaN below two."""
        return self._p(self.n - 1, self.deviation)

    @cached_property
    def separate(self) -> Array:
        """The two-sided p of Welch's test, which takes the variance of each and asks nothing
        of the seeds in common.
        """
        return self._p(self.freedom, np.sqrt(self.variances[0] + self.variances[1]))

    @cached_property
    def freedom(self) -> Array:
        """Welch's degrees of freedom; n - 1 where neither varies."""
        a, b = self.variances
        with np.errstate(divide="ignore", invalid="ignore"):
            # 0 / 0 where neither varies: p is then 0 or 1 whatever the degrees of freedom
            return (self.n - 1) * np.nan_to_num((a + b) ** 2 / (a**2 + b**2), nan=1.0)

    def _p(self, freedom: Array, deviation: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.mean == 0, 0.0, np.abs(self.mean) / (deviation / np.sqrt(self.n)))
        # at t = 0: p = 1, not 0 / 0
        return np.where(self.n >= 2, 2 * stdtr(np.maximum(freedom, 1), -t), np.nan)

    def apart(self, alpha: float) -> Flags:
        """Which pairs are told apart."""
        return holm(self.separate, alpha) & (self.paired <= alpha)

    def needed(self, alpha: float, pairs: int) -> Array:
        """How large each difference must be to be told apart among so many pairs, none of which is yet."""
        # the first of Holm's limits, shared between the two sides: the strictest, as none is told apart yet
        freedom, level = np.maximum(self.freedom, 1), 1 - alpha / (2 * pairs)
        separate = stdtrit(freedom, level) * np.sqrt(
            (self.variances[0] + self.variances[1]) / np.maximum(self.n, 1)
        )
        return np.maximum(separate, half_width(self.deviation, self.n, 1 - alpha))


def holm(p: Array, alpha: float) -> Flags:
    """Which of the p-values are below Holm's limits, alpha / m, alpha / (m - 1), ... in their order.

    NaN is no test.
    """
    order = np.argsort(p)
    limits = alpha / np.maximum(np.isfinite(p).sum() - np.arange(len(p)), 1)
    # from the smallest on, and no further than the first that fails; NaN sorts last, and fails
    below = np.empty(len(p), dtype=bool)
    below[order] = np.cumprod(p[order] <= limits).astype(bool)
    return below


def _pairs(values: Array) -> _Differences:
    """All pairs i < j of the columns of ``(seeds, C)``, row by row of the triangle."""
    i, j = np.triu_indices(values.shape[1], 1)
    return _Differences(values[:, i], values[:, j])


def _told_apart(values: Array, alpha: float) -> tuple[Flags, Array]:
    """For columns i < j of ``(seeds, C)``:
    whether i is called higher, and how many seeds they have in common.
    """
    used = np.flatnonzero(np.isfinite(values).sum(axis=0) >= 2)
    pairs, width = _pairs(values[:, used]), values.shape[1]
    i, j = (used[index] for index in np.triu_indices(len(used), 1))
    higher, common = np.zeros((width, width), dtype=bool), np.zeros((width, width))
    higher[i, j] = pairs.apart(alpha) & (pairs.mean > 0)
    common[i, j] = pairs.n
    return higher, common


def _walk(values: Array, alpha: float) -> tuple[list[int | None], list[str]]:
    """Ranks and notes of columns that stand in the order of their means, the highest first."""
    own = np.isfinite(values).sum(axis=0)
    higher, common = _told_apart(values, alpha)
    ranks: list[int | None] = []
    notes: list[str] = []
    firsts: dict[int, int] = {}  # the rank of each column that opens a group
    for i in range(values.shape[1]):
        first = next(reversed(firsts), None)
        seeds = own[i] if first is None else min(own[i], common[first, i])
        if seeds < 2:
            ranks.append(None)
            notes.append(_why_not(int(own[i]), int(seeds)))
            continue
        # held against the first of the group, not its neighbour: in small steps a group would have no end
        if first is None or higher[first, i]:
            firsts[i] = 1 + sum(rank is not None for rank in ranks)
        ranks.append(next(reversed(firsts.values())))
        notes.append(_unclear([rank for f, rank in list(firsts.items())[:-1] if not higher[f, i]]))
    return ranks, notes


def _unclear(ranks: list[int]) -> str:
    """What is said of a row whose rank is worse than that of a row from which it is not told apart."""
    return f"not told apart from the first of rank {' and '.join(map(str, ranks))}" if ranks else ""


def _why_not(own: int, common: int) -> str:
    if own == 0:
        return ""
    count = "1 seed" if common == 1 else f"{common} seeds"
    return f"undecided with {count}" + (" in common with the best of the group above" if own >= 2 else "")
