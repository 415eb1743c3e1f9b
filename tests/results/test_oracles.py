"""Ranks and effects beside statsmodels and scikit-posthocs, where they compute the same."""

import gc

import numpy as np
import pandas as pd
import pytest

from lvmbench.results.effects import effects
from lvmbench.results.statistics import _pairs, holm
from tests.results.test_promises import board_of


@pytest.mark.parametrize("seed", range(5))
def test_holms_limits_are_those_of_statsmodels(seed, monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda: 0)  # it collects garbage, a second in a process of many tests
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(seed).beta(0.3, 3, 12)
    assert holm(p, 0.05).tolist() == multitest.multipletests(p, 0.05, "holm")[0].tolist()


def test_the_separate_test_of_all_pairs_is_that_of_scikit_posthocs():
    """Welch's, before Holm's limits."""
    posthocs = pytest.importorskip("scikit_posthocs")
    values = np.random.default_rng(0).normal([0, 1, 2, 4], [1, 2, 0.5, 1], (5, 4))
    long = pd.DataFrame(values).melt(var_name="row")
    due = posthocs.posthoc_ttest(long, "value", "row", equal_var=False).to_numpy()
    assert _pairs(values).separate == pytest.approx(due[np.triu_indices(4, 1)])


def test_effects_are_those_of_a_linear_mixed_model():
    """The differences of one cell and seed have a mean for each cell and an effect of the seed at random:
    their average over cells, and its standard error.
    """
    model = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    rng = np.random.default_rng(3)
    cells, seeds = 4, 12
    by_part = rng.standard_normal((1, 2, seeds))
    values = rng.standard_normal((cells, 2, 1)) + by_part + 0.5 * rng.standard_normal((cells, 2, seeds))
    row = effects(board_of(values)[0]).set_index("axis").loc["posterior"]

    differences = (values[:, 1] - values[:, 0]).ravel()
    fitted = model.MixedLM(
        differences, np.repeat(np.eye(cells), seeds, axis=0), groups=np.tile(np.arange(seeds), cells)
    ).fit(reml=True)
    average = np.full(cells, 1 / cells)
    error = np.sqrt(average @ fitted.cov_params()[:cells, :cells] @ average)
    assert fitted.cov_re.item() > 0
    assert row["difference"] == pytest.approx(average @ fitted.fe_params)
    half = (row["high"] - row["low"]) / 2
    assert half == pytest.approx(error * 2.200985, rel=1e-4)  # t with 11 degrees of freedom
