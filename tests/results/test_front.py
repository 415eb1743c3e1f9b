"""Which rows of a board no other is both as good and as quick as."""

import itertools

import numpy as np
import pandas as pd
import pytest

from lvmbench.errors import UserError
from lvmbench.results.answer import answer
from lvmbench.results.board import leaderboard
from lvmbench.results.comparison import paired_difference
from lvmbench.results.front import front, front_section, undominated
from lvmbench.results.markdown import to_markdown
from lvmbench.results.pictures.front import front_figure
from tests.results.test_effects import NOISE, results


def board(rows, better="higher", packs=(3,)):
    """A board of priors with these values and seconds; the values of seeds differ by `NOISE`."""
    records, measurements = results(
        lambda place, seed: rows[place["prior"]][0] + NOISE[seed], prior=list(rows), better=better
    )
    seconds = records["prior"].map({prior: seconds for prior, (_, seconds) in rows.items()})
    sizes = records["prior"].map(dict(zip(rows, itertools.cycle(packs), strict=False)))
    return leaderboard(records.assign(train_seconds=seconds, pack=sizes), measurements)


ROWS = {
    "slow": (3.0, 9.0),
    "quick": (1.0, 1.0),
    "middle": (2.0, 4.0),
    "worse": (0.5, 2.0),
    "late": (1.5, 8.0),
}


def test_the_front_is_what_no_other_row_is_as_good_and_as_quick_as():
    found = front(board(ROWS)).set_index(front(board(ROWS))["label"].str.partition(" ")[0])
    assert found["dominated_by"].str.partition(" ")[0].to_dict() == {
        "quick": "",
        "worse": "quick",
        "middle": "",
        "late": "middle",
        "slow": "",
    }
    assert found["seconds"].is_monotonic_increasing


def brute(rows, sign):
    """The same by the definition, for each pair."""

    def dominates(a, b):
        at_least = sign * a[0] >= sign * b[0] and a[1] <= b[1]
        return at_least and a != b

    return {name for name, row in rows.items() if not any(dominates(o, row) for o in rows.values())}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_it_is_that_of_the_definition_ties_and_all(seed, better):
    rng = np.random.default_rng(seed)
    rows = {f"p{i}": (float(rng.integers(4)), float(rng.integers(1, 5))) for i in range(8)}
    found = front(board(rows, better=better))
    kept = found.loc[found["dominated_by"] == "", "label"].str.partition(" ")[0]
    assert set(kept) == brute(rows, 1 if better == "higher" else -1)


def test_a_gain_is_paired_over_seeds_with_the_quicker_one_of_the_front():
    found = front(board(ROWS))
    kept = found[found["dominated_by"] == ""]
    due = paired_difference(pd.Series(2.0 + NOISE), pd.Series(1.0 + NOISE))
    assert tuple(kept[["gain", "low", "high"]].iloc[1]) == pytest.approx((due.difference, due.low, due.high))
    assert kept["gain"].isna().tolist() == [True, False, False]


def test_a_gain_is_above_zero_where_lower_is_better():
    turned = {name: (-value, seconds) for name, (value, seconds) in ROWS.items()}
    for rows, better in ((ROWS, "higher"), (turned, "lower")):
        found = front(board(rows, better=better)).query("dominated_by == ''")
        assert found["gain"].dropna().tolist() == pytest.approx([1.0, 1.0])
        assert (found["low"] <= found["high"]).dropna().sum() == 2


def test_a_board_of_its_front_keeps_ranks_and_loses_rows():
    whole = board(ROWS)
    part = undominated(whole)
    assert part.frame["prior"].tolist() == ["slow", "middle", "quick"]
    assert part.frame["rank"].tolist() == whole.frame.loc[part.frame.index, "rank"].tolist()
    assert "2 other rows are dominated." in to_markdown(whole)
    assert "late" not in to_markdown(part)


def test_where_nothing_is_ranked_or_timed_there_is_no_front():
    whole = board(ROWS)
    for bare in (
        leaderboard(*results(lambda place, seed: NOISE[seed], prior=["a", "b"])),
        board({"a": (1, 1)}),
    ):
        assert front_section(bare) is None
        assert front_figure(bare) is None
    unranked = leaderboard(whole.records, pd.DataFrame(results(lambda p, s: 1.0, prior=["a"])[1]), "none")
    with pytest.raises(UserError, match="--front: no row has both"):
        undominated(unranked)


def test_the_picture_names_the_front_the_quickest_first():
    (axes,) = front_figure(board(ROWS)).axes
    assert [text.get_text().split()[0] for text in axes.get_legend().get_texts()] == [
        "quick",
        "middle",
        "slow",
    ]
    assert (axes.get_xscale(), axes.get_ylabel()) == ("log", "Elbo (nats)")
    (near,) = front_figure(board({"a": (1.0, 1.0), "b": (2.0, 1.5)})).axes
    assert near.get_xscale() == "linear"


def test_where_packs_differ_in_size_it_says_that_times_do_not_compare():
    notes = [front_section(board(ROWS, packs=packs)).notes for packs in ((3,), (3, 15))]
    said = [any("--apart" in note for note in part) for part in notes]
    assert said == [False, True]
    assert "packs of 3 to 15" in notes[1][-1]


def test_which_row_is_the_quickest_is_not_said_where_packs_differ_in_size():
    rows = {"a": (1.0, 9.0), "b": (1.0, 1.0)}  # the first of a tie is slow
    said = [" ".join(answer(board(rows, packs=packs))[0].sentences) for packs in ((3,), (3, 15))]
    assert ["quickest" in text for text in said] == [True, False]
