"""Intervals, comparisons and ranks against scipy, numbers made by hand,
and their promise of few false alarms.
"""

from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lvmbench.kinds import PARTS
from lvmbench.results.comparison import paired_difference
from lvmbench.results.statistics import _told_apart as _told_apart_pairs
from lvmbench.results.statistics import (
    detectable_difference,
    half_width,
    mean_interval,
    rank_groups,
    together,
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
    assert set(table["note"]) == {"undecided with 1 seed"}


def test_a_combination_with_one_seed_left_changes_no_other_rank():
    values = _frame(a=[5.0, 5.1, 5.2], b=[1.0, 1.1, 1.3])
    table = rank_groups(values.assign(c=[9.0, np.nan, np.inf], d=np.nan), "higher")
    assert (
        table["rank"].dropna().to_dict()
        == rank_groups(values, "higher")["rank"].to_dict()
        == {"a": 1, "b": 2}
    )
    assert table["n"].to_dict() == {"c": 1, "a": 3, "b": 3, "d": 0}
    assert table.loc["c", "note"] == "undecided with 1 seed"
    assert table.loc["d", "note"] == ""


def test_only_common_seeds_are_compared():
    """c is better than a on the seeds they share; its mean is lower only because it lacks the easy seed."""
    values = _frame(a=[1.0, 1.1, 0.9, 30.0], c=[2.0, 2.11, 1.9, np.nan])
    table = rank_groups(values, "higher")
    assert list(table.index) == ["a", "c"]
    assert table["rank"].tolist() == [1, 1]


def test_without_common_seeds_nothing_is_called():
    values = _frame(a=[5.0, 5.1, np.nan, np.nan], b=[np.nan, np.nan, 1.0, 1.1])
    table = rank_groups(values, "higher")
    assert table.loc["a", "rank"] == 1
    assert pd.isna(table.loc["b", "rank"])
    assert table.loc["b", "note"] == "undecided with 0 seeds in common with the best of the group above"


def test_a_metric_without_direction_is_not_ranked():
    table = rank_groups(_frame(a=[1.0, 1.0], b=[2.0, 2.0]), "neither")
    assert table["rank"].isna().all()
    assert table["note"].unique() == ["this metric has no better direction"]


BINOMIAL = "exact, binomial at 5% of the tables"


def _told_apart(rng, spreads, seeds, boards, draw=np.random.Generator.standard_normal):
    """The level of significance of how many tables of rows without a difference have a rank other than 1."""
    drawn = (pd.DataFrame(spreads * draw(rng, size=(seeds, len(spreads)))) for _ in range(boards))
    apart = sum(bool((rank_groups(values, "higher")["rank"] > 1).any()) for values in drawn)
    return stats.binomtest(apart, boards, 0.05, alternative="greater").pvalue


SPREADS = {"equal": np.ones(8), "one wild": np.r_[30, np.ones(7)], "far apart": np.geomspace(0.001, 1, 40)}


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("name", SPREADS)
@pytest.mark.statistical("how many of 100 tables without a difference show one", BINOMIAL)
def test_rows_without_a_difference_are_told_apart_in_at_most_alpha_of_tables(name, seeds, chance):
    """However their variances differ."""
    chance.likely(_told_apart(np.random.default_rng(chance.seed), SPREADS[name], seeds, 100))


PUBLISHED = sorted(Path(__file__).parents[2].glob("leaderboards/*/measurements.csv"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw", [np.random.Generator.standard_normal, partial(np.random.Generator.standard_t, df=3)]
)
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
@pytest.mark.statistical("how many of 200 tables without a difference show one", BINOMIAL)
def test_the_variances_of_published_seeds_keep_the_promise(path, seeds, draw, chance):
    """Of 30 rows at most, whose seeds spread as those of a board do, normally or with heavy tails."""
    figures = pd.read_csv(path, keep_default_na=False).query("metric in ('elbo', 'log_likelihood')")
    spreads = figures.groupby(["evaluator", "metric", "variant", "method", *PARTS])["value"].std().dropna()
    rng = np.random.default_rng(chance.seed)
    parts = spreads.groupby(["evaluator", "metric", "variant", "method", "dataset"])
    scales = [part.sample(min(len(part), 30), random_state=0).to_numpy() for _, part in parts]
    chance.likely(*(_told_apart(rng, each, seeds, 200, draw) for each in scales))


def _apart(a, b, alpha):
    frame = pd.DataFrame({"a": a, "b": b})
    return set(rank_groups(frame, "higher", alpha)["rank"]) == {1, 2}


def test_two_rows_are_told_apart_where_welchs_test_and_the_paired_one_say_so():
    rng = np.random.default_rng(4)
    a, b = rng.normal(2, 1, 5), rng.normal(0, 0.2, 5)
    welch = stats.ttest_ind(a, b, equal_var=False).pvalue
    paired = stats.ttest_rel(a, b).pvalue
    for p in (welch, paired):
        assert _apart(a, b, p * 1.01) == (1.01 * p > max(welch, paired))
    assert not _apart(a, b, max(welch, paired) * 0.99)
    assert _apart(a, b, max(welch, paired) * 1.01)


def test_all_pairs_of_a_table_count_by_holms_limits():
    """Of three pairs the clearest is held against alpha / 3, the next against alpha / 2,
    the last against alpha.
    """
    rng = np.random.default_rng(1)
    values = pd.DataFrame(rng.normal([8, 3, 0], 0.5, (4, 3)), columns=list("abc"))
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    p = {(i, j): stats.ttest_ind(values[i], values[j], equal_var=False).pvalue for i, j in pairs}
    ordered = sorted(p, key=p.get)
    adjusted = np.maximum.accumulate([(3 - k) * p[pair] for k, pair in enumerate(ordered)])
    paired = [stats.ttest_rel(values[i], values[j]).pvalue for i, j in ordered]
    needed = dict(zip(ordered, np.maximum(adjusted, paired), strict=True))
    for (i, j), alpha in needed.items():
        for factor, apart in ((1.01, True), (0.99, False)):
            higher, _ = _told_apart_pairs(values[[i, j, *({*"abc"} - {i, j})]].to_numpy(), alpha * factor)
            assert higher[0, 1] == apart


def test_a_row_below_a_group_from_which_it_is_not_told_apart_says_so():
    """Its seeds spread too much to tell.

    That its rank is not the first's comes from the row above it alone.
    """
    values = _frame(a=[5.0, 5.1, 4.9, 5.0], b=[4.0, 4.1, 3.9, 4.0], c=[8.0, -2.0, 9.0, -4.0])
    table = rank_groups(values, "higher")
    assert table["rank"].to_dict() == {"a": 1, "b": 2, "c": 2}
    assert table["note"].to_dict() == {"a": "", "b": "", "c": "not told apart from the first of rank 1"}


@pytest.mark.parametrize("seed", range(20))
def test_ranks_that_differ_without_a_note_are_told_apart_by_claims_too(seed):
    """Of five rows one of which is better, at three seeds,
    where Tukey's limit was below that of a paired interval.
    """
    rng = np.random.default_rng(seed)
    values = pd.DataFrame(rng.normal(0, 1, (3, 5)) + [5, 0, 0, 0, 0])
    table = rank_groups(values, "higher")
    first = table.index[0]
    for row in table.index[(table["rank"] == 2) & (table["note"] == "")]:
        assert paired_difference(values[first], values[row]).low > 0


@pytest.mark.parametrize("seed", range(20))
def test_what_ranks_tell_apart_claims_tell_apart_too(seed):
    """Each pair of a table that is called has a paired interval without 0, in the same direction."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 1, (3, 1))
    values = shared + rng.normal(0, np.geomspace(0.02, 1, 6), (3, 6)) + np.arange(6)[::-1]
    higher, _ = _told_apart_pairs(values, 0.05)
    for i, j in zip(*np.nonzero(higher), strict=True):
        assert paired_difference(pd.Series(values[:, i]), pd.Series(values[:, j])).low > 0


def test_a_row_of_wild_seeds_does_not_hide_what_the_others_show():
    """Each pair has the variance of its own two: a third row of a thousand times theirs changes nothing."""
    rng = np.random.default_rng(0)
    clear = pd.DataFrame(rng.normal([5, 0], 0.1, (5, 2)), columns=["a", "b"])
    ranks = rank_groups(clear.assign(wild=rng.normal(0, 100, 5)), "higher")["rank"]
    assert ranks["a"] < ranks["b"]


def test_a_large_difference_is_called():
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.standard_normal((5, 6)) + np.array([100, 0, 0, 0, 0, 0]))
    table = rank_groups(values, "higher")
    assert table["rank"].tolist() == [1, 2, 2, 2, 2, 2]
    assert table.index[0] == 0


def test_a_pair_is_told_apart_just_above_what_is_detectable():
    residuals = np.random.default_rng(0).normal(0, 1, (4, 2))
    rows = pd.DataFrame(residuals - residuals.mean(0))
    needed = detectable_difference(rows)
    for factor, rank in ((1.001, 2), (0.999, 1)):
        assert rank_groups(rows + [factor * needed, 0], "higher")["rank"][1] == rank


def test_more_rows_need_larger_differences():
    rows = pd.DataFrame(np.random.default_rng(0).normal(0, 1, (4, 5)))
    pairs = [detectable_difference(rows[list(pair)]) for pair in combinations(rows, 2)]
    assert detectable_difference(rows) > np.median(pairs)


def test_without_two_rows_of_two_seeds_nothing_is_detectable():
    assert detectable_difference(pd.DataFrame({"a": [1.0], "b": [2.0]})) is None
    assert detectable_difference(pd.DataFrame({"a": [1.0, 2.0]})) is None


@pytest.mark.parametrize("count", [1, 2, 84, 10_000])
@pytest.mark.parametrize("errors", [0.5, 1.0, 3.0, 5.0])
def test_many_figures_together_are_off_as_seldom_as_one(errors, count):
    beyond = 2 * stats.norm.sf(together(errors, count))
    assert -np.expm1(count * np.log1p(-beyond)) == pytest.approx(2 * stats.norm.sf(errors), rel=1e-6)
