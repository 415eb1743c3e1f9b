"""Confidence intervals over training seeds, paired comparisons, and ranks that ties share."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtr, stdtrit
from scipy.stats import studentized_range

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` seeds and its confidence interval; a single seed gives no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """The mean of a - b over the ``n`` common seeds, its interval and two-sided p; None below two seeds."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
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


def paired_difference(a: pd.Series[float], b: pd.Series[float], level: float = 0.95) -> Comparison:
    r"""Compare two combinations over their common seeds: :math:`t = \bar d / (s_d / \sqrt{n})`, d = a - b.

    The t test assumes that the differences of seeds are independent and near normal.

    Arguments:
        a: One value per seed, indexed by seed; missing values are left out.
        b: The same of the other combination.
        level: The confidence level of the interval.

    >>> c = paired_difference(pd.Series([1.0, 2.0, 4.0]), pd.Series([0.0, 2.0, 2.0]))
    >>> c.difference, round(c.p, 4), c.n
    (1.0, 0.2254, 3)
    """
    both = pd.concat([_finite(a), _finite(b)], axis=1, join="inner").dropna().to_numpy(dtype=float)
    n, mean, error, p = (float(v[0]) for v in _paired_t(both[:, :1] - both[:, 1:]))
    if n < 2:
        return Comparison(mean if n else None, None, None, None, int(n))
    width = float(half_width(error * np.sqrt(n), n, level))
    return Comparison(mean, mean - width, mean + width, p, int(n))


def rank_groups(values: pd.DataFrame, better: str, alpha: float = 0.05) -> pd.DataFrame:
    r"""Order combinations by their mean and let those that cannot be told apart share a rank.

    Walking down from the best mean, a combination joins the current group unless Tukey's test, over their common
    seeds, calls it worse than the group's first member; then it opens a group, whose rank is its position among
    the ranked. Seeds are blocks: with :math:`d` the differences of a pair over its :math:`n` common seeds,

    .. math:: q = \sqrt{2}\, |\bar d| \,/\, \sqrt{s^2 / n}

    is compared with the studentized range of all C combinations, so that any number of comparisons gives a false
    alarm in at most ``alpha`` of boards. :math:`s^2` is the mean variance over all pairs, which few seeds alone could
    not tell, or the pair's own where that is larger. It assumes that seeds are independent and near normal.

    References:
        The Problem of Multiple Comparisons (Tukey, 1953), in The Collected Works of John W. Tukey VIII,
        https://doi.org/10.1201/9780203748763

    Arguments:
        values: One row per seed, one column per combination; a run that gave no value is NaN.
        better: ``"higher"``, ``"lower"`` or ``"neither"``, where nothing is ranked.
        alpha: The chance of telling apart any combinations that do not differ.

    Returns:
        One row per combination, best first: ``mean``, ``n`` seeds, ``rank`` (missing where it cannot be
        called), ``note``.

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
    """The difference below which `rank_groups` would not call the typical pair; None below two seeds.

    It is the studentized range's quantile times the median standard error that `rank_groups` uses.

    Arguments:
        values: One row per seed, one column per combination.
        alpha: As in `rank_groups`.
    """
    finite = values.where(np.isfinite(values.astype(float))).to_numpy(dtype=float)
    pairs = _pairs(finite)
    if not pairs.tested.any():
        return None
    quantile = _quantile(alpha, pairs.combinations, pairs.freedom) / np.sqrt(2)
    return float(quantile * np.median(pairs.error[pairs.tested]))


def _finite(values: pd.Series[float]) -> pd.Series[float]:
    return values[np.isfinite(values.astype(float))]


def _paired_t(difference: Array) -> tuple[Array, Array, Array, Array]:
    """Number of seeds, mean, standard error and two-sided p of differences, ``(seeds, M)`` to ``(M,)``."""
    n = np.isfinite(difference).sum(axis=0).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(difference, axis=0) / n
        error = np.sqrt(np.nansum((difference - mean) ** 2, axis=0) / (n - 1) / n)
        t = np.where(mean == 0, 0.0, np.abs(mean) / error)  # equal in each seed: no evidence, not 0 / 0
    return n, mean, error, np.where(n >= 2, 2 * stdtr(np.maximum(n - 1, 1), -t), np.nan)


@dataclass(frozen=True)
class _Pairs:
    """What is known of each pair of columns, ``(C, C)``: common seeds, mean difference and its standard error."""

    n: Array
    mean: Array
    error: Array
    combinations: int
    freedom: float

    @property
    def tested(self) -> npt.NDArray[np.bool_]:
        """The pairs i < j that can be compared."""
        return np.triu(self.n >= 2, 1)

    def worse(self, i: int, j: int, alpha: float) -> bool:
        """Whether j is called lower than i."""
        if self.mean[i, j] <= 0:
            return False
        if self.error[i, j] == 0:
            return True
        q = np.sqrt(2) * self.mean[i, j] / self.error[i, j]
        return bool(q > _quantile(alpha, self.combinations, self.freedom))


@functools.cache
def _quantile(alpha: float, combinations: int, freedom: float) -> float:
    """The upper quantile of the studentized range, which takes scipy some time."""
    return float(studentized_range.ppf(1 - alpha, combinations, freedom))


def _pairs(values: Array) -> _Pairs:
    """Compare all columns of ``(seeds, C)`` with each other; a column of fewer than two seeds counts for nothing."""
    known = np.isfinite(values)
    used = known.sum(axis=0) >= 2
    difference = values[:, :, None] - values[:, None, :]  # (seeds, C, C)
    n = np.isfinite(difference).sum(axis=0).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(difference, axis=0) / n
        own = np.nansum((difference - mean) ** 2, axis=0) / (n - 1)
        upper = np.triu((n >= 2) & used[:, None] & used, 1)
        pooled = np.average(own[upper], weights=n[upper] - 1) if upper.any() else np.nan
        error = np.sqrt(np.maximum(own, pooled) / n)
    seeds = known[:, used].any(axis=1).sum()
    freedom = max(1.0, float(known[:, used].sum() - used.sum() - (seeds - 1)))
    return _Pairs(n, mean, error, int(used.sum()), freedom)


def _walk(values: Array, alpha: float) -> tuple[list[int | None], list[str]]:
    """Ranks and notes of columns that stand in the order of their means, the highest first."""
    own = np.isfinite(values).sum(axis=0)
    pairs = _pairs(values)
    ranks: list[int | None] = []
    notes: list[str] = []
    first: int | None = None
    for i in range(values.shape[1]):
        seeds = own[i] if first is None else min(own[i], pairs.n[first, i])
        if seeds < 2:
            ranks.append(None)
            notes.append(_why_not(int(own[i]), int(seeds)))
            continue
        position = 1 + sum(rank is not None for rank in ranks)
        if first is None or pairs.worse(first, i, alpha):
            first = i
            ranks.append(position)
        else:
            ranks.append(ranks[first])
        notes.append("")
    return ranks, notes


def _why_not(own: int, common: int) -> str:
    if own == 0:
        return ""
    count = "1 seed" if common == 1 else f"{common} seeds"
    return f"cannot be called with {count}" + (
        " in common with the best of the group above" if own >= 2 else ""
    )
