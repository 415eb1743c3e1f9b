"""Published figures beside those of a suite, on made-up measurements."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.results.endings import reference_columns
from lvmbench.results.references import COLUMNS, compare
from lvmbench.suites.references import Reference

VALUES = {"vamp[components=500]": [-85.0, -86.0, -85.5], "mixture": [-87.0], "standard_normal": []}
REFERENCE = {"metric": "log_likelihood", "value": -85.57, "source": "Tomczak & Welling 2018"}


@pytest.fixture
def results():
    """A prior with three seeds, one with a single seed, and one that was refused."""
    records, measurements = [], []
    for prior, values in VALUES.items():
        names = dict.fromkeys(PARTS, "a") | {"prior": prior, "suite": "s", "suite_version": 1}
        for seed in range(max(len(values), 1)):
            outcome = {"status": "ok", "reason": ""} if values else {"status": "refused", "reason": "no data"}
            records.append({"key": f"{prior}{seed}", "seed": seed, "latent": 40, **outcome, **names})
        for seed, value in enumerate(values):
            words = {"split": "test", "metric": "log_likelihood", "variant": "", "method": "importance"}
            words |= {"evaluator": "t", "unit": "nats", "better": "higher", "stderr": 0.01}
            measurements.append({"key": f"{prior}{seed}", "value": value, **words})
    return pd.DataFrame(records), pd.DataFrame(measurements)


def rows(results, **reference):
    return compare([{**REFERENCE, **reference}], *results).to_dict("records")


def test_ours_stands_beside_what_was_published(results):
    (row,) = rows(results, of={"prior": "vamp*", "latent": 40})
    width = stats.t.ppf(0.975, 2) * np.std(VALUES["vamp[components=500]"], ddof=1) / np.sqrt(3)
    assert row["combination"] == "vamp[components=500]"
    assert (row["ours"], row["seeds"], row["status"]) == (pytest.approx(-85.5), 3, "ok")
    assert (row["high"] - row["ours"], row["difference"]) == pytest.approx((width, 0.07))


def test_one_seed_has_no_interval(results):
    (row,) = rows(results, of={"prior": "mixture"})
    assert row["difference"] == pytest.approx(-1.43)
    assert np.isnan(row["low"])


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"of": {"prior": "flow"}}, "no run", ""),
        ({"of": {"prior": "mixture", "latent": 8}}, "no run", ""),
        ({"of": {"prior": "standard_normal"}}, "refused", "no data"),
        (
            {"of": {"prior": "mixture"}, "metric": "log_likelihood[ais]"},
            "not measured",
            "no 'log_likelihood[ais]'; did you mean 'log_likelihood[importance]'?",
        ),
    ],
)
def test_without_ours_it_is_said_why(results, changes, status, reason):
    (row,) = rows(results, **changes)
    assert (row["status"], row["reason"], row["published"]) == (status, reason, -85.57)
    assert pd.isna(row["ours"])
    shown = reference_columns(compare([{**REFERENCE, **changes}], *results))
    assert shown["ours"] == [f"– ({status})"]
    assert shown["difference"] == ["–"]


def test_a_reference_that_several_combinations_are_like_has_a_row_for_each(results):
    assert [row["combination"] for row in rows(results, of={"prior": "*"})] == list(VALUES)


def test_figures_are_shown_to_the_digits_that_they_have(results):
    reference = {**REFERENCE, "of": {"prior": "vamp*"}, "note": "S = 5000"}
    shown = reference_columns(compare([reference], *results))
    assert {name: cells[0] for name, cells in shown.items()} == {
        "combination": "vamp[components=500]",
        "figure": "log_likelihood[importance]",
        "ours": "-85.5 ± 1.2",
        "published": "-85.57",
        "difference": "0.1 ± 1.2",
        "from": "Tomczak & Welling 2018",
        "note": "S = 5000",
    }


@pytest.mark.parametrize("of", [{}, {"metric": "elbo"}])
def test_a_reference_is_of_combinations(of):
    with pytest.raises(ValidationError, match="should name components and settings"):
        Reference(**REFERENCE, of=of)


def test_without_references_there_is_no_row(results):
    found = compare([], *results)
    assert (len(found), list(found)) == (0, list(COLUMNS))


# In a suite


OWN = {"metric": "elbo", "value": -3.25, "source": "somebody 2020", "of": {"objective": "elbo"}}


def test_the_references_of_a_suite_are_in_its_board(tiny):
    tiny.run(references=[{**OWN, "of": {"prior": "standard_normal", "objective": "elbo"}, "note": "by eye"}])
    out = tiny.folder / "out"
    text = (out / "leaderboard.md").read_text()
    assert "## Published figures" in text
    assert "| -3.25 |" in text
    assert "| somebody 2020 | by eye |" in text
    assert pd.read_csv(out / "references.csv")["published"].tolist() == [-3.25]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valu": 1.0}, "references.0.valu'; did you mean 'value'"),
        ({"source": None}, "references.0.source: should be text"),
        (
            {"of": {"priour": "vamp"}},
            "should be a kind of component, a setting or metric; did you mean 'prior'",
        ),
        ({"metric": "elbows"}, "reference 'somebody 2020': no evaluator of the suite measures 'elbows'"),
        ({"of": {"prior": "vmap"}}, "no combination of the suite is of prior vmap; write components as"),
    ],
)
def test_a_wrong_reference_is_said_with_its_place(tiny, changes, message):
    with pytest.raises(UserError, match=r"tiny.yaml:\d+:\d+: ") as error:
        tiny.run(references=[{**OWN, **changes}])
    assert message in str(error.value)
