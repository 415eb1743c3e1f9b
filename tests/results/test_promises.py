"""What comparisons, effects and ranks promise: that they call what is not there in at most 5% of boards,
and how much they see.
"""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.promises import KINDS, calls, noise, pairs, parts, told
from lvmbench.results.board import leaderboard
from lvmbench.results.compare import compare
from lvmbench.results.comparison import Comparison
from lvmbench.results.effects import effects, interactions

BINOMIAL = "exact, binomial at {} of the boards"
SEEN = ["compare, 20 seeds", "compare, 5 seeds and 100 data", "pairs of 2 x 2, 20 seeds"]
"""Where a single comparison has seeds enough, or data, for three standard errors to be seen."""
WORDS = {"dataset": "d", "decoder": "b", "objective": "o", "estimator": "e", "latent": 8}
ENDED = {"suite": "s", "suite_version": 1, "status": "ok", "reason": ""}
FIGURE = {"metric": "elbo", "variant": "", "method": "", "unit": "nats", "better": "higher", "stderr": 0.0}


def board_of(values):
    """The board of figures ``(priors, posteriors, seeds)``, and its measurements."""
    grid = list(product(*map(range, values.shape)))
    rows = [{"key": str(g), "prior": f"p{g[0]}", "posterior": f"q{g[1]}", "seed": g[2]} for g in grid]
    records = pd.DataFrame(rows).assign(**WORDS, **ENDED)
    measured = records.drop(columns=["status", "reason"]).assign(
        value=values.ravel(), evaluator="t", split="test", **FIGURE
    )
    return leaderboard(records, measured), measured


@pytest.mark.parametrize("seed", range(3))
def test_what_is_simulated_is_what_boards_say(seed):
    values, _ = noise(np.random.default_rng(seed), 4, 3, 5)
    values[1] += 8
    values[2, 2] += 30
    board, _ = board_of(values)
    for found, differences in ((effects(board), parts(values)), (interactions(board), pairs(values))):
        due = [Comparison.by_seed(row) for row in differences]
        assert found["p"].tolist() == pytest.approx([row.p for row in due])
        assert (found["verdict"] != "inconclusive").tolist() == told(differences).tolist()
        assert 0 < told(differences).sum() < len(due)


@pytest.mark.parametrize("gain", [0.0, 0.4])
def test_what_is_simulated_is_what_a_comparison_says(gain):
    rng = np.random.default_rng(0)
    each = rng.standard_normal((2, 5, 100)) + rng.standard_normal((2, 1, 100))
    each[1] += gain
    board, measured = board_of(each.mean(axis=2)[:, None])
    kept = dict(zip(measured["key"], each.reshape(10, 100), strict=True))
    row = compare(
        board, measured, "p1", "p0", equal_within=0.0, per_datum=lambda key, *_: kept[key]
    ).frame.iloc[0]
    due = Comparison.by_seed_and_datum(each[1] - each[0])
    assert row["p"] == pytest.approx(due.p)
    assert (row["verdict"] == "better") == (due.p <= 0.05) == (gain > 0)


def _alarms(kind, boards, chance):
    alarms = int(calls(kind, boards, chance.seed)[:, 0].sum())
    return stats.binomtest(alarms, boards, 0.05, alternative="greater").pvalue


@pytest.mark.parametrize("kind", [kind for kind in KINDS if ", 3 seeds" in kind])
@pytest.mark.statistical(
    "on how many of 200 boards without a difference one is called", BINOMIAL.format("5%")
)
def test_what_is_not_there_is_seldom_called(kind, chance):
    chance.likely(_alarms(kind, 200, chance))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.statistical(
    "on how many of 2,000 boards without a difference one is called", BINOMIAL.format("5%")
)
def test_what_is_not_there_is_called_on_one_board_of_twenty(kind, chance):
    chance.likely(_alarms(kind, 2000, chance))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.statistical("on how many of 2,000 boards three standard errors are seen", BINOMIAL.format("80%"))
def test_three_standard_errors_are_seen_on_four_boards_of_five(kind, chance):
    seen = int(calls(kind, 2000, chance.seed)[:, 1].sum())
    chance.likely(stats.binomtest(seen, 2000, 0.8, alternative="less").pvalue)
