"""Intervals, comparisons and ranks against scipy, numbers made by hand, and their promise of few false alarms."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lvmbench.statistics import (
    detectable_difference,
    half_width,
    mean_interval,
    paired_difference,
    rank_groups,
)


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_is_scipys(n, level):
    values = np.random.default_rng(n).normal(-90, 2, n)
    interval = mean_interval(values, level)
    expected = stats.t.interval(level, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-12)
    assert (interval.mean, interval.n) == (pytest.approx(values.mean()), n)


def test_interval_by_hand():
    """For 1, 2, 3: s = 1, t(2, 0.975) = 4.302653, so the half width is 4.302653 / sqrt(3) = 2.484138."""
    interval = mean_interval([1.0, 2.0, 3.0])
    assert (interval.low, interval.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_one_seed_gives_no_interval():
    assert mean_interval([3.0]) == mean_interval(np.array([[3.0]]))
    assert (mean_interval([3.0]).low, mean_interval([3.0]).high, mean_interval([3.0]).n) == (None, None, 1)
    assert np.isnan(half_width(1.0, 1))


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_interval_needs_finite_values(values):
    with pytest.raises(ValueError, match="finite"):
        mean_interval(values)


def test_paired_difference_is_scipys_over_common_seeds():
    rng = np.random.default_rng(1)
    a = pd.Series(rng.normal(0, 1, 6), index=[0, 1, 2, 3, 4, 5])
    b = pd.Series(rng.normal(1, 1, 6), index=[7, 5, 4, 3, 2, 1])
    b[3] = np.nan
    common = [1, 2, 4, 5]
    expected = stats.ttest_rel(a[common], b[common])
    found = paired_difference(a, b)
    assert (found.difference, found.p, found.n) == (
        pytest.approx((a - b)[common].mean()),
        pytest.approx(expected.pvalue),
        4,
    )
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_paired_difference_of_few_seeds():
    a = pd.Series([1.0, 2.0], index=[0, 1])
    alone = paired_difference(a, pd.Series([0.5], index=[1]))
    assert (alone.difference, alone.low, alone.p, alone.n) == (1.5, None, None, 1)
    apart = paired_difference(a, pd.Series([0.5], index=[9]))
    assert (apart.difference, apart.p, apart.n) == (None, None, 0)


def test_equal_values_are_no_evidence_and_a_constant_difference_is():
    a = pd.Series([1.0, 2.0, 3.0])
    assert paired_difference(a, a).p == 1
    assert paired_difference(a + 1, a).p == 0


def _frame(**columns):
    return pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in columns.items()})


def test_ties_share_a_rank_and_the_next_group_starts_at_its_position():
    values = _frame(
        a=[5.0, 5.2, 4.9, 5.1], b=[5.1, 5.0, 5.0, 5.0], c=[1.0, 1.1, 0.9, 1.05], d=[1.1, 1.0, 1.0, 0.9]
    )
    table = rank_groups(values, "higher")
    assert table["rank"].to_dict() == {"a": 1, "b": 1, "c": 3, "d": 3}
    assert rank_groups(values, "lower")["rank"].to_dict() == {"d": 1, "c": 1, "b": 3, "a": 3}
    assert list(table.index) == ["a", "b", "c", "d"]


def test_identical_combinations_tie():
    values = _frame(a=[1.0, 2.0, 3.0], b=[1.0, 2.0, 3.0])
    assert rank_groups(values, "higher")["rank"].tolist() == [1, 1]


def test_one_seed_ranks_nothing():
    table = rank_groups(_frame(a=[1.0], b=[100.0]), "higher")
    assert list(table.index) == ["b", "a"]
    assert table["rank"].isna().all()
    assert set(table["note"]) == {"cannot be called with 1 seed"}


def test_a_combination_with_one_seed_left_changes_no_other_rank():
    values = _frame(a=[5.0, 5.1, 5.2], b=[1.0, 1.1, 1.3])
    table = rank_groups(values.assign(c=[9.0, np.nan, np.inf], d=np.nan), "higher")
    assert (
        table["rank"].dropna().to_dict()
        == rank_groups(values, "higher")["rank"].to_dict()
        == {"a": 1, "b": 2}
    )
    assert table["n"].to_dict() == {"c": 1, "a": 3, "b": 3, "d": 0}
    assert table.loc["c", "note"] == "cannot be called with 1 seed"
    assert table.loc["d", "note"] == ""


def test_only_common_seeds_are_compared():
    """c is better than a on the seeds they share and has the lower mean only because it lacks the easy seed."""
    values = _frame(a=[1.0, 1.1, 0.9, 30.0], c=[2.0, 2.11, 1.9, np.nan])
    table = rank_groups(values, "higher")
    assert list(table.index) == ["a", "c"]
    assert table["rank"].tolist() == [1, 1]


def test_without_common_seeds_nothing_is_called():
    values = _frame(a=[5.0, 5.1, np.nan, np.nan], b=[np.nan, np.nan, 1.0, 1.1])
    table = rank_groups(values, "higher")
    assert table.loc["a", "rank"] == 1
    assert pd.isna(table.loc["b", "rank"])
    assert (
        table.loc["b", "note"] == "cannot be called with 0 seeds in common with the best of the group above"
    )


def test_a_metric_without_direction_is_not_ranked():
    table = rank_groups(_frame(a=[1.0, 1.0], b=[2.0, 2.0]), "neither")
    assert table["rank"].isna().all()
    assert table["note"].unique() == ["this metric has no better direction"]


def _false_alarms(combinations, seeds, boards, scales=1.0):
    rng = np.random.default_rng(0)
    drawn = (pd.DataFrame(scales * rng.standard_normal((seeds, combinations))) for _ in range(boards))
    return sum(bool((rank_groups(values, "higher")["rank"] > 1).any()) for values in drawn)


def test_two_equal_combinations_are_told_apart_in_alpha_of_boards():
    """One pair's test is exact: 1000 boards at 0.05 leave the binomial bounds with probability 3e-4."""
    low, high = stats.binom.ppf([1.5e-4, 1 - 1.5e-4], 1000, 0.05)
    assert low <= _false_alarms(2, 4, 1000) <= high


def test_many_equal_combinations_are_told_apart_in_at_most_alpha_of_boards():
    """Tukey's test over all pairs: 400 boards at 0.05 exceed the bound with probability 1.5e-4."""
    assert _false_alarms(8, 3, 400) <= stats.binom.ppf(1 - 1.5e-4, 400, 0.05)


def test_combinations_of_unequal_spread_give_few_false_alarms():
    """Where one spread is ten times another the pair's own variance counts: at most twice alpha of 400 boards."""
    scales = np.geomspace(0.1, 1.0, 8)
    assert _false_alarms(8, 3, 400, scales) <= stats.binom.ppf(1 - 1.5e-4, 400, 0.1)


def test_tukeys_test_by_hand():
    """Two-way residuals: the p of three balanced combinations is that of the studentized range with (S-1)(C-1)."""
    values = np.array([[1.0, 2.0, 4.0], [1.5, 2.0, 4.5], [0.5, 1.7, 4.1], [1.2, 2.4, 3.9]])
    residual = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    variance = max(2 * (residual**2).sum() / 6, np.var(values[:, 2] - values[:, 1], ddof=1))
    q = np.sqrt(2) * (values.mean(0)[2] - values.mean(0)[1]) / np.sqrt(variance / 4)
    p = stats.studentized_range.sf(q, 3, 6)
    frame = pd.DataFrame(values, columns=list("abc"))
    assert rank_groups(frame, "higher", alpha=p * 1.01)["rank"].loc["b"] == 2
    assert rank_groups(frame, "higher", alpha=p * 0.99)["rank"].loc["b"] == 1


def test_a_large_difference_is_called():
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.standard_normal((5, 6)) + np.array([100, 0, 0, 0, 0, 0]))
    table = rank_groups(values, "higher")
    assert table["rank"].tolist() == [1, 2, 2, 2, 2, 2]
    assert table.index[0] == 0


def test_detectable_difference_of_one_pair_is_where_p_is_alpha():
    a = np.array([0.3, -0.1, 0.5, 0.2])
    b = np.array([0.1, 0.2, -0.3, 0.0])
    needed = detectable_difference(pd.DataFrame({"a": a, "b": b}))
    moved = pd.Series(a - (a - b).mean() + needed)
    assert paired_difference(moved, pd.Series(b)).p == pytest.approx(0.05)
    assert detectable_difference(pd.DataFrame({"a": [1.0], "b": [2.0]})) is None
    assert detectable_difference(pd.DataFrame({"a": [1.0, 2.0]})) is None
