"""What becomes of the claims that a suite makes, on made-up measurements."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from lvmbench.kinds import PARTS
from lvmbench.results.board import leaderboard
from lvmbench.results.verdicts import judge
from lvmbench.suites.claims import Claim

SHIFTS = {"elbo": 0.0, "iwae": 1.0}


@pytest.fixture
def results():
    """Three seeds of two objectives: bound is -10 + seed + shift, exact is bound + 0.01."""
    records, measurements = [], []
    for objective, shift in SHIFTS.items():
        for seed in range(3):
            key = f"{objective}{seed}"
            names = dict.fromkeys(PARTS, "a") | {"objective": objective}
            records.append({"key": key, "seed": seed, "status": "ok", **names})
            for method, extra in (("importance", 0.0), ("exact", 0.01)):
                value = -10 + seed + shift * (1 + 0.1 * seed) + extra
                row = {"key": key, "method": method, "value": value, "stderr": 0.005, "evaluator": "t"}
                words = {
                    "split": "test",
                    "metric": "bound",
                    "variant": "",
                    "unit": "nats",
                    "better": "higher",
                }
                measurements.append(row | words)
    return pd.DataFrame(records), pd.DataFrame(measurements)


def verdict(results, **claim):
    row = judge([{"claim": "c", "metric": "bound[importance]", **claim}], *results).iloc[0]
    return row["verdict"], row["value"]


def test_an_order_is_paired_over_seeds(results):
    """The seeds differ by more than the objectives: unpaired, nothing could be decided."""
    said, difference = verdict(results, higher={"objective": "iwae"}, lower={"objective": "elbo"})
    assert (said, difference) == ("holds", pytest.approx(1.1))
    assert verdict(results, higher={"objective": "elbo"}, lower={"objective": "iwae"})[0] == "does not hold"
    said = verdict(results, higher={"objective": "elbo"}, lower={"objective": "e*"})[0]
    assert said == "inconclusive (needs more seeds)"


def test_an_order_may_be_of_two_figures(results):
    said, difference = verdict(results, higher={"metric": "bound[exact]"}, lower={})
    assert (said, difference) == ("holds", pytest.approx(0.01))


@pytest.mark.parametrize(("within", "said"), [(0.02, "holds"), (0.005, "does not hold")])
def test_an_agreement_is_of_every_run(results, within, said):
    assert verdict(results, equals="bound[exact]", within=within) == (said, pytest.approx(-0.01))


def test_what_cannot_be_called_says_how_many_seeds_would(results):
    """With differences of -1, 0 and 4: found is 1, with a deviation of 2.6."""
    records, measurements = results
    iwae = measurements["key"].str.startswith("iwae")
    measurements.loc[iwae & (measurements["method"] == "importance"), "value"] = [-11.0, -9.0, -4.0]
    said, difference = verdict(results, higher={"objective": "iwae"}, lower={"objective": "elbo"})
    assert difference == pytest.approx(1)
    assert said == f"inconclusive (needs about {_needed(1, np.std([-1, 0, 4], ddof=1))} seeds)"
    one = records[records["seed"] == 0], measurements
    assert verdict(one, higher={"objective": "iwae"}, lower={})[0] == "inconclusive (needs more seeds)"


def _needed(difference, deviation):
    """The first number of seeds at which scipy's t test has this power."""
    for n in range(2, 1000):
        beyond = stats.t.ppf(0.975, n - 1)
        if stats.nct.sf(beyond, n - 1, difference * np.sqrt(n) / deviation) >= 0.8:
            return n
    raise AssertionError


@pytest.mark.parametrize(("errors", "said"), [(3, "holds"), (0.3, "does not hold")])
def test_an_agreement_may_be_in_standard_errors(results, errors, said):
    """The two errors of 0.005 make one of 0.0071: each of six runs is off by 1.4 of it."""
    assert verdict(results, equals="bound[exact]", errors=errors)[0] == said


def test_errors_that_are_not_known_are_not_zero(results):
    """Of six runs three know the error of the figure; with none left nothing is said."""
    records, measurements = results
    measurements.loc[measurements["key"].str.startswith("elbo"), "stderr"] = None
    claim = {"claim": "c", "metric": "bound[importance]", "equals": "bound[exact]", "errors": 3}
    row = judge([claim], records, measurements).iloc[0]
    assert (row["verdict"], row["n"]) == ("holds", 3)
    unknown = records, measurements.assign(stderr=None)
    assert verdict(unknown, equals="bound[exact]", errors=3)[0].startswith("not measured")
    assert verdict(unknown, equals="bound[exact]", within=0.02)[0] == "holds"


def test_what_was_not_measured_is_said(results):
    assert verdict(results, higher={"objective": "vimco"}, lower={})[0] == "not measured"
    assert verdict(results, metric="nothing", equals=1, within=1)[0].startswith("not measured: no 'nothing'")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"higher": {}},
        {"equals": 1},
        {"equals": 1, "within": 1, "errors": 1},
        {"higher": {}, "lower": {}, "equals": 1},
    ],
)
def test_a_claim_is_of_one_kind(wrong):
    with pytest.raises(ValidationError, match="gives either higher and lower, or equals"):
        Claim(claim="c", metric="m", **wrong)


def test_the_claims_of_a_suite_are_in_its_board(tiny):
    same = {"metric": "elbo", "equals": 0, "within": 1000}
    claim = {"claim": "two priors are alike", **same, "of": {"objective": "elbo"}}
    tiny.run(claims=[claim])
    text = (tiny.folder / "out" / "leaderboard.md").read_text()
    assert "| two priors are alike |" in text
    assert "| holds |" in text


def test_a_figure_that_nobody_measured_is_said_to_be_missing(results):
    for claim in (
        {"of": {"objective": "elbo"}, "equals": 0.0, "within": 1.0},
        {"higher": {}, "lower": {"objective": "elbo"}},
    ):
        (row,) = judge([{"claim": "c", "metric": "of nothing", **claim}], *results).to_dict("records")
        assert (row["verdict"], row["n"]) == (
            "not measured: no 'of nothing'; known: bound[exact], bound[importance]",
            0,
        )


def test_a_variant_that_nobody_measured_is_said_with_the_nearest(results):
    said = verdict(results, metric="bound[importanc]", equals=0.0, within=1.0)[0]
    assert said == "not measured: no 'bound[importanc]'; did you mean 'bound[importance]' or 'bound[exact]'?"


def test_a_metric_alone_is_the_figure_that_a_board_shows(results):
    claim = {"of": {"objective": "elbo"}, "equals": "bound[importance]", "within": 0.0}
    assert verdict(results, metric="bound", **claim) == ("holds", 0.0)


def test_an_evaluator_that_is_added_changes_no_verdict(results):
    """Though it measures the same figure."""
    records, measurements = results
    other = measurements.assign(evaluator="a", value=100.0, asked_by="evaluate")
    both = pd.concat([other, measurements.assign(asked_by="suite")])
    claims = [
        {"claim": "c", "metric": "bound", "higher": {"objective": "iwae"}, "lower": {"objective": "elbo"}},
        {"claim": "d", "metric": "bound[exact]", "equals": "bound[importance]", "within": 0.02},
    ]
    assert judge(claims, records, both).equals(judge(claims, *results))


@pytest.mark.parametrize("seed", range(5))
def test_what_a_board_tells_apart_its_claims_tell_apart_too(seed):
    """The first row against the first that a rank calls worse, of rows whose seeds spread unequally."""
    records, measurements = made_up(np.random.default_rng(seed))
    board = leaderboard(records, measurements)
    best, worse = board.frame.iloc[0]["objective"], board.frame[board.frame["rank"] > 1].iloc[0]["objective"]
    claim = {"claim": "c", "metric": "elbo", "higher": {"objective": best}, "lower": {"objective": worse}}
    assert judge([claim], records, measurements)["verdict"][0] == "holds"


def made_up(rng):
    """Three seeds of six objectives whose seeds spread unequally about means that lie apart."""
    runs, figures = [], []
    for i, spread in enumerate(np.geomspace(0.02, 1, 6)):
        for seed in range(3):
            names = dict.fromkeys(PARTS, "a") | {
                "objective": f"o{i}",
                "seed": seed,
                "key": f"o{i}-{seed}",
            }
            runs.append({"status": "ok", "reason": "", **names})
            words = {
                "split": "test",
                "metric": "elbo",
                "variant": "",
                "method": "",
                "unit": "nats",
                "better": "higher",
            }
            figures.append(
                {**names, **words, "evaluator": "t", "stderr": 0.0, "value": rng.normal(-i, spread)}
            )
    return pd.DataFrame(runs), pd.DataFrame(figures)


@pytest.mark.parametrize(("due", "said"), [(-8.5, "does not hold"), (-10.5, "holds")])
def test_a_figure_may_be_above(results, due, said):
    assert verdict(results, of={"objective": "elbo"}, equals=due, within=0.0, at_least=True)[0] == said
