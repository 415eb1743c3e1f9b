"""What each axis of a grid is worth."""

import itertools

import numpy as np
import pandas as pd
import pytest

from lvmbench.results.board import leaderboard
from lvmbench.results.comparison import paired_difference
from lvmbench.results.effects import effects, interactions
from lvmbench.results.markdown import to_markdown
from lvmbench.results.verdicts import judge

NAMES = {"dataset": "d", "decoder": "b", "objective": "o", "estimator": "e"}
BUDGET = {"epochs": 10, "batch": 32, "clip": None}
NOISE = np.array([0.3, -0.2, 0.1])


def results(value, seeds=3, better="higher", **axes):
    """Records and measurements of a full grid; ``value`` is that of a run, by its place and its seed."""
    records, measurements = [], []
    shared = {"suite": "s", "suite_version": 1, "status": "ok", "reason": ""}
    for place in itertools.product(*axes.values()):
        words = {"prior": "p", "posterior": "q", "latent": 8, "learning_rate": 0.01}
        words |= {**NAMES, **BUDGET, **dict(zip(axes, place, strict=True))}
        for seed in range(seeds):
            found = value(dict(zip(axes, place, strict=True)), seed)
            key = f"{place}{seed}"
            records.append({"key": key, "seed": seed, **shared, **words})
            metric = {"metric": "elbo", "variant": "", "method": "", "unit": "nats", "better": better}
            if found is not None:
                measurements.append(
                    {"key": key, "evaluator": "t", "split": "test", "value": found, "stderr": 0.0, **metric}
                )
    return pd.DataFrame(records), pd.DataFrame(measurements)


def additive(place, seed):
    """5 for the posterior b, -2 for the larger latent size, with noise of the seed and of the posterior."""
    own = NOISE[(seed + 1) % 3] if place["posterior"] == "b" else 0.0
    return 5.0 * (place["posterior"] == "b") - 2.0 * (place["latent"] == 16) + NOISE[seed] + own


GRID = {"posterior": ["a", "b"], "latent": [8, 16]}


def rows(found):
    return {(row.axis, row.setting): row for row in found.itertuples()}


def test_an_axis_is_worth_its_mean_difference_paired_over_all_else_and_seeds():
    found = rows(effects(leaderboard(*results(additive, **GRID))))
    assert set(found) == {("posterior", "b"), ("latent", "16")}
    posterior, latent = found["posterior", "b"], found["latent", "16"]
    due = paired_difference(pd.Series(5.0 + NOISE), pd.Series(np.zeros(3)))
    assert (posterior.difference, posterior.low, posterior.high) == pytest.approx(
        (due.difference, due.low, due.high)
    )
    assert (latent.difference, latent.p) == (pytest.approx(-2.0), pytest.approx(0.0, abs=1e-12))
    assert [(r.against, r.better_in, r.pairs, r.seeds) for r in (posterior, latent)] == [
        ("a", 2, 2, 3),
        ("8", 0, 2, 3),
    ]
    assert (posterior.verdict, latent.verdict) == ("better", "worse")


def test_lower_may_be_better():
    found = rows(effects(leaderboard(*results(additive, better="lower", **GRID))))
    assert (found["posterior", "b"].verdict, found["latent", "16"].verdict) == ("worse", "better")
    assert (found["posterior", "b"].better_in, found["latent", "16"].better_in) == (0, 2)


def test_a_figure_without_a_better_direction_is_higher_or_lower():
    found = rows(effects(leaderboard(*results(additive, better="neither", **GRID), metric="elbo")))
    assert (found["posterior", "b"].verdict, found["latent", "16"].verdict) == ("higher", "lower")


def test_settings_that_never_meet_the_first_are_held_against_the_first_that_they_meet():
    grid = {"posterior": ["a", "b", "c"], "latent": [8, 16, 32]}
    records, measurements = results(lambda place, seed: {"a": 0, "b": 1, "c": 5}[place["posterior"]], **grid)
    never = (records["posterior"] == "a") != (records["latent"] == 8)
    found = rows(effects(leaderboard(records[~never], measurements)))
    assert {key: (row.against, row.difference) for key, row in found.items() if key[0] == "posterior"} == {
        ("posterior", "c"): ("b", 4.0)
    }
    text = to_markdown(leaderboard(records[~never], measurements))
    assert "Never met another with everything else equal: posterior a; latent 8." in text


def test_what_is_left_out_is_counted_with_its_reason():
    records, measurements = results(additive, **GRID, learning_rate=[0.01, 0.1])
    lost = (records["posterior"] == "b") & (records["latent"] == 16) & (records["learning_rate"] == 0.1)
    gone = (records["posterior"] == "a") & (records["latent"] == 8) & (records["learning_rate"] == 0.1)
    records.loc[lost, ["status", "reason"]] = "refused", "it does not fit"
    found = rows(effects(leaderboard(records[~gone], measurements)))
    assert found["posterior", "b"].left_out == "1 refused, 1 not planned"
    assert found["posterior", "b"].pairs == 2


def test_an_estimator_that_follows_from_the_parts_keeps_them_not_apart():
    records, measurements = results(additive, **GRID)
    records.loc[records["posterior"] == "b", "estimator"] = "own"
    found = rows(effects(leaderboard(records, measurements)))
    assert set(found) == {("posterior", "b"), ("latent", "16")}
    assert found["posterior", "b"].other_estimators == 2
    assert found["latent", "16"].other_estimators == 0
    assert "a part of these effects may be theirs: b." in to_markdown(leaderboard(records, measurements))


def test_a_pair_is_worth_what_it_brings_beyond_the_sum_of_its_parts():
    def value(place, seed):
        both = place["posterior"] == "b" and place["latent"] == 16
        return additive(place, seed) + (3.0 + 0.1 * NOISE[(seed + 2) % 3]) * both

    board = leaderboard(*results(value, **GRID, learning_rate=[0.01, 0.1]))
    found = rows(interactions(board))
    row = found["posterior × latent", "b × 16"]
    assert (row.against, row.pairs, row.verdict) == ("a × 8", 2, "better")
    assert row.difference == pytest.approx(3.0 + 0.1 * NOISE.mean())
    assert (
        found["latent × learning_rate", "16 × 0.1"].verdict
        == found["posterior × learning_rate", "b × 0.1"].verdict
        == "inconclusive"
    )
    text = to_markdown(board)
    assert "## Effects on Elbo ↑: pairs\n\n| axis | setting | against | beyond the sum |" in text
    assert "| posterior × latent | b × 16 | a × 8 | 3.0" in text
    assert "with limits for all 3 pairs" in text


def test_only_combinations_that_have_both_with_every_seed_count():
    def holed(place, seed):
        gone = place == {"posterior": "b", "latent": 16, "learning_rate": 0.1} and seed == 1
        return None if gone else additive(place, seed) + 10 * (place["learning_rate"] == 0.1)

    found = rows(effects(leaderboard(*results(holed, learning_rate=[0.01, 0.1], **GRID))))
    assert found["posterior", "b"].pairs == 3
    assert found["posterior", "b"].difference == pytest.approx(5.0 + NOISE.mean())


def test_settings_that_never_meet_have_no_row():
    records, measurements = results(additive, **GRID, learning_rate=[0.01, 0.1])
    alone = ~((records["posterior"] == "b") & (records["latent"] == 8))
    alone &= ~((records["posterior"] == "a") & (records["latent"] == 16))
    found = effects(leaderboard(records[alone], measurements))
    assert set(found["axis"]) == {"learning_rate"}


def test_a_list_is_no_grid():
    assert effects(leaderboard(*results(additive, posterior=["a", "b"], latent=[8]))).empty
    assert "Effects on" not in to_markdown(leaderboard(*results(additive, posterior=["a", "b"], latent=[8])))


def test_nothing_ranks_nothing_is_worth():
    assert effects(leaderboard(*results(additive, **GRID), metric="none")).empty


def test_one_seed_calls_nothing():
    found = effects(leaderboard(*results(additive, seeds=1, **GRID)))
    assert set(found["verdict"]) == {"inconclusive"}
    assert found["needed"].isna().all()


def test_all_rows_of_a_table_count_by_holms_limits():
    """Each of 20 settings would be told apart alone, at p = 0.04; together none is."""

    def close(place, seed):
        return place["latent"] * (1.0 + [0.0, 0.61, -0.61][seed]) * 0.01 * (place["latent"] > 1) + seed

    found = effects(leaderboard(*results(close, posterior=["a", "b"], latent=list(range(1, 22)))))
    latent = found[found["axis"] == "latent"]
    assert len(latent) == 20
    assert (latent["p"] > 0.05 / 20).all()
    assert set(latent["verdict"]) == {"inconclusive"}


def test_a_setting_that_is_not_given_is_one_of_them():
    found = rows(effects(leaderboard(*results(additive_in_clip, posterior=["a", "b"], clip=[None, 1.0]))))
    assert (found["clip", "1.0"].against, found["clip", "1.0"].difference) == ("none", pytest.approx(1.0))


def additive_in_clip(place, seed):
    return (place["clip"] == 1.0) + NOISE[seed] * (place["posterior"] == "b")


def test_the_section_says_what_it_is():
    text = to_markdown(leaderboard(*results(additive, **GRID)))
    head = "## Effects on Elbo ↑\n\n| axis | setting | against | difference | better in | seeds | verdict |"
    assert head in text
    assert text.index(head) < text.index("## d\n")
    assert "| posterior | b | a | 5.07 ± 0.63 | 2 of 2 | 3 | better |" in text
    assert "| latent | 16 | 8 | -2.0" in text


@pytest.mark.parametrize(("latent", "verdict"), [(8, "holds"), (16, "does not hold"), (9, "not measured")])
def test_claims_may_select_by_settings(latent, verdict):
    other = {8: 16, 16: 8, 9: 8}[latent]
    claim = {"claim": "c", "metric": "elbo", "higher": {"latent": latent}, "lower": {"latent": other}}
    found = judge([claim], *results(additive, **GRID))
    assert found["verdict"][0].startswith(verdict)
