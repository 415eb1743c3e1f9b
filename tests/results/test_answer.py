"""What a board comes to, in words."""

import numpy as np
import pandas as pd

from lvmbench.results.answer import answer
from lvmbench.results.board import leaderboard
from lvmbench.results.markdown import to_markdown
from tests.results.test_effects import GRID, NOISE, additive, results


def said(*args, **options):
    (found,) = answer(leaderboard(*results(*args, **options)))
    return list(found.sentences)


def test_it_says_what_to_use_how_sure_that_is_and_what_parts_are_worth():
    first, sure, worth = said(additive, **GRID)
    assert first == "Use b · latent=8: Elbo 5.13 ± 0.63 nats, the best of 4 rows in 3 of 3 seeds."
    assert sure == "No other row shares its rank."
    begins = (
        "Everything else being equal, parts are worth in Elbo: posterior b instead of a +5.07 ± 0.63 (better)"
    )
    assert worth.startswith(f"{begins}; latent 16 instead of 8 -2.0000 ±")


def test_rows_that_share_the_first_rank_are_named_and_the_quickest_of_them():
    records, measurements = results(lambda p, s: (-1) ** (s + (p["prior"] > "c")) + 0.0, prior=list("abcdef"))
    seconds = records["prior"].map(dict(zip("abcdef", range(1, 7), strict=True))).astype(float)
    (text,) = answer(leaderboard(records.assign(train_seconds=seconds[::-1].to_numpy()), measurements))
    alike, quickest = text.sentences[1:3]
    assert alike == "With 3 seeds it cannot be told apart from b, c, d and 2 more."
    assert quickest == "The quickest of these is f: 1 s of training, not 6 s."


def test_parts_that_are_not_told_apart_are_named():
    noise = np.array([1.0, -1.0, 0.1])
    texts = said(lambda p, s: noise[s] * (p["posterior"] == "b") + NOISE[s] * (p["latent"] == 8), **GRID)
    assert texts[-1].startswith("What these are worth cannot be told: posterior b instead of a, latent")


def test_a_single_seed_says_so_and_so_does_a_lone_row():
    assert said(additive, seeds=1, **GRID)[1] == "How sure that is cannot be said of a single seed."
    (only,) = said(additive, posterior=["b"], latent=[8])
    assert only.startswith("The only row with a result is")


def test_a_row_with_too_few_seeds_is_named_but_not_recommended():
    records, measurements = results(additive, **GRID)
    best = (records["posterior"] == "b") & (records["latent"] == 8) & (records["seed"] > 0)
    keys = records.loc[best, "key"]
    records.loc[best, "status"] = "timeout"
    found, left = answer(leaderboard(records, measurements[~measurements["key"].isin(keys)]))
    assert found.sentences[0].startswith("Use b · latent=16: Elbo 3.")
    assert any(
        text.startswith("Not ranked, for want of seeds: b · latent=8 (Elbo") for text in found.sentences
    )
    assert str(left) == "2 of 12 runs gave no result (2 timeout): what is said here may change with them."


def test_lower_may_be_better():
    first, *_ = said(additive, better="lower", **GRID)
    assert first.startswith("Use a · latent=16: Elbo -1.93")
    assert "in 3 of 3 seeds" in first


def test_without_results_or_ranks_it_says_that():
    records, measurements = results(additive, **GRID)
    failed = records.assign(status="failed", reason="boom")
    (nothing,) = answer(leaderboard(failed, measurements))
    assert str(nothing) == "No run gave a result (12 failed), so there is nothing to compare."
    (unranked,) = answer(leaderboard(records, measurements, "none"))
    assert str(unranked) == "This board ranks nothing; it says what goes with what (12 ok)."


def test_each_table_has_its_own_and_they_head_the_board():
    records, measurements = results(additive, **GRID)
    both = [
        pd.concat([frame, frame.assign(dataset="e", key="e" + frame["key"])])
        if "dataset" in frame
        else pd.concat([frame, frame.assign(key="e" + frame["key"])])
        for frame in (records, measurements)
    ]
    board = leaderboard(*(frame.reset_index(drop=True) for frame in both))
    assert [found.table for found in answer(board)] == ["d", "e"]
    assert "## In short\n\n- d: Use b · latent=8: Elbo 5.13" in to_markdown(board)


def test_pairs_that_bring_more_than_the_sum_of_their_parts_are_named():
    def value(place, seed):
        both = place["posterior"] == "b" and place["latent"] == 16
        return additive(place, seed) + 3.0 * both + 0.01 * NOISE[seed] * both

    assert said(value, **GRID)[-1].startswith("Beyond the sum of their parts, pairs bring: b × 16 +3.")
