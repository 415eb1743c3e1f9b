"""What comparisons, effects and ranks promise: that they call what is not there in at most 5% of boards,
and how much they see.
"""

import pytest
from scipy import stats

from benchmarks.promises import KINDS, calls

BINOMIAL = "exact, binomial at {} of the boards"
FEW = ["compare, 3 seeds, 100 data", "compare, 5 seeds, no data", "effects of 2 x 2, 5 seeds"]
SEEN = ["compare, 20 seeds, no data", "compare, 5 seeds, 100 data", "compare, 20 seeds, 100 data"]
"""Where a single comparison has seeds enough, or data, for three standard errors to be seen."""


def _alarms(kind, boards, chance):
    alarms = int(calls(kind, boards, chance.seed)[:, 0].sum())
    return stats.binomtest(alarms, boards, 0.05, alternative="greater").pvalue


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.statistical("on how many of 20 boards without a difference one is called", BINOMIAL.format("5%"))
def test_what_is_not_there_is_seldom_called(kind, chance):
    chance.likely(_alarms(kind, 20, chance))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.statistical(
    "on how many of 400 boards without a difference one is called", BINOMIAL.format("5%")
)
def test_what_is_not_there_is_called_on_one_board_of_twenty(kind, chance):
    chance.likely(_alarms(kind, 400, chance))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.statistical("on how many of 400 boards three standard errors are seen", BINOMIAL.format("80%"))
def test_three_standard_errors_are_seen_on_four_boards_of_five(kind, chance):
    seen = int(calls(kind, 400, chance.seed)[:, 1].sum())
    chance.likely(stats.binomtest(seen, 400, 0.8, alternative="less").pvalue)
