"""Differences paired by seed and by datum against scipy, statsmodels and baycomp, and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lvmbench.results.comparison import Comparison, paired_difference, seeds_to_call


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


@pytest.mark.parametrize(
    ("difference", "deviation", "needed"), [(1.0, 1.5, 20), (0.01, 1.5, None), (0.0, 1.5, None)]
)
def test_seeds_that_would_call_a_difference(difference, deviation, needed):
    """A t test of 20 sees 2/3 of a deviation in 4 of 5 cases, as tables of its power have it."""
    assert seeds_to_call(Comparison(difference, 3, deviation / np.sqrt(3))) == needed
    assert seeds_to_call(Comparison(difference, 1)) is None


def test_no_number_of_seeds_calls_what_the_data_hide():
    """A normal test sees 2.8 standard errors in 4 of 5 cases: seeds cannot lessen the error of the data."""
    assert seeds_to_call(Comparison(1.0, 3, 0.01, 10_000, 1 / 2.9)) == 2
    assert seeds_to_call(Comparison(1.0, 3, 0.01, 10_000, 1 / 2.7)) is None
    assert seeds_to_call(Comparison(1.0, 3, 1.0, 10_000, 1 / 4)) > seeds_to_call(Comparison(1.0, 3, 1.0))


def differences(seeds=4, data=30, u=1.0, v=1.0, r=1.0, seed=0):
    """Of seeds and data that have effects of these spreads, ``(S, N)``."""
    rng = np.random.default_rng(seed)
    spread = u * rng.standard_normal((seeds, 1)) + v * rng.standard_normal((1, data))
    return 0.3 + spread + r * rng.standard_normal((seeds, data))


def test_mean_squares_are_those_of_two_way_analysis_of_variance():
    formula = pytest.importorskip("statsmodels.formula.api")
    anova = pytest.importorskip("statsmodels.stats.anova")
    d = differences()
    long = pd.DataFrame(d).stack().rename_axis(["seed", "datum"]).rename("d").reset_index()
    table = anova.anova_lm(formula.ols("d ~ C(seed) + C(datum)", long).fit())
    mean_square = table["sum_sq"] / table["df"]
    found = Comparison.by_seed_and_datum(d)
    assert found.of_seeds**2 * d.size == pytest.approx(mean_square["C(seed)"])
    of_data = mean_square["C(datum)"] - mean_square["Residual"]
    assert found.of_data**2 * d.size == pytest.approx(of_data)
    assert (found.difference, found.n, found.data) == (pytest.approx(d.mean()), 4, 30)


def test_of_seeds_alone_chances_are_those_of_baycomp():
    """Its posterior with these degrees of freedom; it corrects the variance for folds that overlap,
    as ours do not.
    """
    baycomp = pytest.importorskip("baycomp.single")
    d = differences().mean(axis=1)
    found = Comparison.by_seed(d)
    due = baycomp.Posterior(d.mean(), stats.sem(d) ** 2, len(d) - 1, rope=0.2).probs()
    assert found.chances(0.2) == pytest.approx(due)


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "data", "of_data"),
    [(2, 0.2, 360, 0.3), (3, 0.3, 10, 0.01), (5, 0.01, 100, 0.3), (3, 0.2, None, 0.0), (3, 0.0, 50, 0.2)],
)
def test_chances_and_intervals_are_those_of_two_students_together(seeds, of_seeds, data, of_data):
    """The convolution, integrated by scipy; where one of them is nothing, it is the other."""
    found = Comparison(0.25, seeds, of_seeds, data, of_data)
    one = stats.t(seeds - 1, 0.25, of_seeds) if of_seeds else None
    other = stats.t((data or 2) - 1, 0.0, of_data) if of_data else None

    def below(x):
        if one is None or other is None:
            return (one or stats.t(data - 1, 0.25, of_data)).cdf(x)
        return one.expect(lambda u: other.cdf(x - u), epsabs=1e-9, limit=500)

    assert found.chances(0.1) == pytest.approx(
        (below(-0.1), below(0.1) - below(-0.1), 1 - below(0.1)), abs=2e-5
    )
    assert found.p == pytest.approx(2 * below(0.0), abs=2e-5)
    assert [below(found.low), below(found.high)] == pytest.approx([0.025, 0.975], abs=2e-5)


def test_data_that_tell_nothing_leave_the_paired_test():
    """Where all data say the same of a seed."""
    d = np.repeat(differences().mean(axis=1, keepdims=True), 30, axis=1)
    whole, means = Comparison.by_seed_and_datum(d), Comparison.by_seed(d[:, 0])
    assert (whole.p, whole.low, whole.of_data) == (
        pytest.approx(means.p),
        pytest.approx(means.low),
        pytest.approx(0.0),
    )


def test_one_seed_says_nothing_however_many_data():
    found = Comparison.by_seed_and_datum(differences(seeds=1))
    assert (found.low, found.high, found.p, found.chances(0.1)) == (None, None, None, None)
    assert found.difference is not None
