"""Leaderboards and renderings: nothing dropped, nothing silently averaged,
the same after a trip through csv.
"""

import io
import json
import subprocess
import sys
from dataclasses import replace
from html import escape

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from rich.console import Console
from scipy import stats

from lvmbench.errors import UserError
from lvmbench.kinds import PARTS
from lvmbench.results.board import (
    leaderboard,
    run_table,
    seed_values,
)
from lvmbench.results.endings import claims_section
from lvmbench.results.folder import board_of
from lvmbench.results.glossary import COLUMNS, keep, told
from lvmbench.results.html import to_html
from lvmbench.results.markdown import to_markdown
from lvmbench.results.sections import cell, sections
from lvmbench.results.tables import read_results
from lvmbench.results.terminal import to_rich
from lvmbench.results.tidy import tidy
from lvmbench.results.verdicts import judge

FIGURES = [  # metric, variant, method, shift, unit, better
    ("elbo", "", "", 0.0, "nats", "higher"),
    ("log_likelihood", "", "exact", 2.5, "nats", "higher"),
    ("log_likelihood", "", "importance", 2.0, "nats", "higher"),
    ("nmi", "kmeans", "", 100.0, "", "higher"),
    ("gradient_variance_ratio", "score/pathwise", "", 200.0, "", "neither"),
]
SAID = pd.DataFrame(
    [
        ("tightness", "elbo", "ELBO", "nats", "higher", "evidence lower bound", "elbo"),
        ("tightness", "log_likelihood", "log p(x)", "nats", "higher", "log density", "log_likelihood"),
        ("tightness", "nmi", "NMI", "", "higher", "agreement with labels", "nmi[kmeans]"),
        ("tightness", "gradient_variance_ratio", "Variance ratio", "", "neither", "of gradients", ""),
    ],
    columns=COLUMNS,
)
REASON = "posterior 'exact' needs prior.enumerable | see lvmbench show"


def run(prior, posterior, seed, status="ok", reason="", dataset="digits", **other):
    words = [dataset, prior, posterior, "bernoulli", "elbo", "pathwise"]
    key = "-".join([*words, str(seed)])
    record = {
        "key": key,
        "suite": "demo",
        "suite_version": 1,
        **dict(zip(PARTS, words, strict=True)),
        "latent": 16,
    }
    record |= {
        "seed": seed,
        "status": status,
        "reason": reason,
        "epochs": 10,
        "best_epoch": 8,
        "train_seconds": 1.5,
    }
    return (
        record
        | {"parameters": 1000, "device": "cpu", "started": "2026-01-01", "finished": "2026-01-01"}
        | other
    )


def measured(record, value):
    words = {name: record[name] for name in ("key", *PARTS, "seed")}
    for metric, variant, method, shift, unit, better in FIGURES:
        figure = {
            "evaluator": "tightness",
            "split": "test",
            "metric": metric,
            "variant": variant,
            "method": method,
        }
        yield {**words, **figure, "value": value + shift, "stderr": 0.01, "unit": unit, "better": better}


@pytest.fixture
def results():
    """Two data sets; a refused, a failed and a partly diverged combination."""
    rng = np.random.default_rng(0)
    runs = []
    for dataset in ("pinwheel", "digits"):
        for seed in range(4):
            runs += [run("vamp[components=50]", "gaussian", seed, dataset=dataset)]
            lost = seed == 1
            why = ("diverged", "loss is not finite") if lost else ("ok", "")
            runs += [run("mixture[components=20]", "iaf[flows=4]", seed, *why, dataset=dataset)]
            runs += [run("standard_normal", "gaussian", seed, dataset=dataset)]
            runs += [run("standard_normal", "exact", seed, "refused", REASON, dataset=dataset)]
            runs += [
                run(
                    "vamp[components=50]",
                    "iaf[flows=2]",
                    seed,
                    "failed",
                    "RuntimeError: a <b>",
                    dataset=dataset,
                )
            ]
    level = {"vamp[components=50]": -80.0, "mixture[components=20]": -90.0, "standard_normal": -100.0}
    ok = [record for record in runs if record["status"] == "ok"]
    figures = [row for record in ok for row in measured(record, level[record["prior"]] + rng.normal(0, 0.3))]
    return pd.DataFrame(runs), told(pd.DataFrame(figures), SAID)


def test_every_combination_has_a_row(results):
    board = leaderboard(*results)
    assert len(board.frame) == 10
    assert board.frame["dataset"].tolist() == ["digits"] * 5 + ["pinwheel"] * 5
    digits = board.frame[board.frame["dataset"] == "digits"]
    assert digits["rank"].tolist()[:3] == [1, 2, 3]
    assert digits["rank"].isna().tolist() == [False] * 3 + [True] * 2
    assert digits["seeds"].tolist() == [4, 3, 4, 0, 0]
    assert digits["status"].tolist() == ["ok", "3 ok, 1 diverged", "ok", "refused", "failed"]
    assert digits["reason"].tolist() == ["", "loss is not finite", "", REASON, "RuntimeError: a <b>"]


def test_means_and_intervals_are_over_ok_seeds(results):
    records, measurements = results
    board = leaderboard(records, measurements)
    row = board.frame[
        (board.frame["dataset"] == "digits") & (board.frame["posterior"] == "iaf[flows=4]")
    ].iloc[0]
    chosen = (measurements["dataset"] == "digits") & (measurements["posterior"] == "iaf[flows=4]")
    values = measurements.loc[chosen & (measurements["metric"] == "elbo"), "value"]
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert (row["elbo"], row["elbo_low"], row["elbo_high"]) == pytest.approx((values.mean(), low, high))
    assert row["train_seconds"] == 1.5


def test_columns(results):
    board = leaderboard(*results)
    heads = ["dataset", "rank", "prior", "posterior", "decoder", "objective", "estimator"]
    heads = [heads[0], "scale", *heads[1:], "seeds", "improving", "status", "reason", "note"]
    assert list(board.frame.columns[:13]) == heads
    names = {
        "elbo",
        "log_likelihood[exact]",
        "log_likelihood[importance]",
        "nmi[kmeans]",
        "train_seconds",
        "parameters",
    }
    names |= {"gradient_variance_ratio[score/pathwise]"}
    assert set(board.frame.columns[13:]) == {name + end for name in names for end in ("", "_low", "_high")}
    assert board.frame.columns[13] == board.metric == "elbo"
    assert "log_likelihood[exact]" not in board.headline


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, "elbo"),
        ("log_likelihood", "log_likelihood[importance]"),
        ("log_likelihood[exact]", "log_likelihood[exact]"),
        ("nmi", "nmi[kmeans]"),
        ("train_seconds", "train_seconds"),
    ],
)
def test_the_metric_is_found(results, asked, found):
    board = leaderboard(*results, metric=asked)
    assert (board.metric, board.frame.columns[13], board.headline[0]) == (found, found, found)


def test_a_bare_metric_is_the_figure_that_the_board_shows(results):
    """Whichever comes first in the measurements."""
    records, measurements = results
    other = measurements[measurements["metric"] == "nmi"].assign(variant="gmm", value=0.5)
    both = records, pd.concat([other, measurements])
    assert "nmi[kmeans]" in leaderboard(*both).headline
    assert leaderboard(*both, metric="nmi").metric == "nmi[kmeans]"


def test_a_figure_may_be_named_with_its_evaluator_though_no_other_gives_it(results):
    assert leaderboard(*results, metric="elbo@tightness").metric == "elbo"


def test_an_unknown_metric_names_the_nearest(results):
    with pytest.raises(
        UserError, match=r"no metric 'log_likelyhood' was measured; did you mean 'log_likelihood'"
    ):
        leaderboard(*results, metric="log_likelyhood")


def test_the_first_figure_with_a_direction_that_the_first_evaluator_shows_ranks(results):
    records, measurements = results
    rest = measurements[measurements["metric"].isin(["gradient_variance_ratio", "nmi"])]
    assert leaderboard(records, rest).metric == "nmi[kmeans]"


def test_an_evaluator_that_joins_the_suite_after_the_others_does_not_rank(results):
    """Though it measures the ELBO, which the first one does not."""
    records, measurements = results
    other = measurements[measurements["metric"] == "elbo"].assign(evaluator="other")
    rest = measurements[measurements["metric"] == "nmi"]
    assert leaderboard(records, pd.concat([rest, other])).metric == "nmi[kmeans]"


def test_lower_is_better_where_the_metric_says_so(results):
    records, measurements = results
    board = leaderboard(records, measurements.assign(better="lower"))
    assert board.frame["prior"].tolist()[:3] == [
        "standard_normal",
        "mixture[components=20]",
        "vamp[components=50]",
    ]


def test_one_seed_is_shown_but_not_ranked(results):
    records, measurements = (frame[frame["seed"] == 0] for frame in results)
    board = leaderboard(records, measurements)
    assert board.frame["rank"].isna().all()
    assert board.frame.loc[0, "note"] == "undecided with 1 seed"
    assert "| – | vamp[components=50] | gaussian |" in to_markdown(board)
    assert "every row: undecided with 1 seed" in to_markdown(board)
    assert "nan" not in to_markdown(board).lower()


def test_nothing_ok_still_gives_a_board(results):
    records, measurements = results
    records, measurements = records[records["status"] != "ok"], measurements.iloc[:0]
    board = leaderboard(records, measurements)
    assert (len(board.frame), board.metric) == (6, None)
    assert "Without a result" in to_markdown(board)
    assert len(to_rich(board)) == 2
    assert json.loads(board.to_json())[0]["rank"] is None


def test_no_runs_is_an_error(results):
    records, measurements = results
    with pytest.raises(UserError, match="no runs"):
        leaderboard(records.iloc[:0], measurements)


def test_a_seed_without_the_metric_is_noted(results):
    records, measurements = results
    lost = (
        (measurements["prior"] == "vamp[components=50]")
        & (measurements["seed"] == 0)
        & (measurements["metric"] == "elbo")
    )
    board = leaderboard(records, measurements[~lost])
    assert board.frame.loc[0, "note"] == "measured in 3 of 4 seeds"
    worse = measurements.assign(value=measurements["value"].where(~lost, -np.inf))
    assert leaderboard(records, worse).frame.loc[0, "note"] == "measured in 3 of 4 seeds"


def test_measurements_of_runs_that_are_not_ok_do_not_count(results):
    records, measurements = results
    extra = pd.DataFrame(list(measured(run("mixture[components=20]", "iaf[flows=4]", 1), 1e6)))
    assert_frame_equal(
        leaderboard(records, pd.concat([measurements, extra])).frame, leaderboard(records, measurements).frame
    )


def test_other_splits_do_not_count(results):
    records, measurements = results
    train = measurements.assign(split="train", value=measurements["value"] + 50)
    both = pd.concat([measurements, train])
    assert_frame_equal(leaderboard(records, both).frame, leaderboard(records, measurements).frame)
    assert leaderboard(records, both, split="train").frame.loc[0, "elbo"] == pytest.approx(-30, abs=1)


def test_repeated_runs_and_figures_are_errors(results):
    records, measurements = results
    again = records.iloc[:1].assign(key="other")
    with pytest.raises(
        UserError, match=r"seed 0 of 'vamp\[components=50\] · gaussian .*' on 'pinwheel' twice"
    ):
        leaderboard(pd.concat([records, again]), measurements)
    with pytest.raises(UserError, match="'elbo' twice for the same run"):
        leaderboard(records, pd.concat([measurements, measurements.iloc[:1]]))


def test_two_evaluators_with_the_same_figure_are_told_apart(results):
    records, measurements = results
    other = measurements[measurements["metric"] == "elbo"].assign(evaluator="tightness[samples=9]")
    board = leaderboard(records, pd.concat([measurements, other]))
    assert {"elbo@tightness", "elbo@tightness[samples=9]"} < set(board.frame.columns)
    assert board.metric == "elbo@tightness"


def added(measurements, evaluator="brier", metric="score", **words):
    """What an evaluator gave that was added to those of the suite; it comes first, as its name may."""
    extra = measurements[measurements["metric"] == "elbo"].assign(evaluator=evaluator, metric=metric, **words)
    extra = extra.assign(value=-extra["value"], title="", meaning="", shown="", place=np.nan)
    return pd.concat([extra.assign(asked_by="evaluate"), measurements.assign(asked_by="suite")])


@pytest.mark.parametrize("metric", ["score", "elbo", "nmi", "log_likelihood"])
@pytest.mark.parametrize("asked", [None, "elbo", "nmi[kmeans]", "log_likelihood"])
def test_an_evaluator_that_is_added_changes_no_rank_and_no_name(results, metric, asked):
    records, measurements = results
    before, after = (
        leaderboard(records, figures, asked) for figures in (measurements, added(measurements, metric=metric))
    )
    assert after.metric == before.metric
    assert_frame_equal(after.frame[before.frame.columns], before.frame)


def test_without_a_figure_of_the_suite_that_has_a_direction_an_added_one_ranks_nothing(results):
    records, measurements = results
    rest = measurements[measurements["metric"] != "elbo"].assign(better="neither")
    figures = added(
        pd.concat([rest, measurements[measurements["metric"] == "elbo"].assign(better="neither")])
    )
    figures.loc[figures["asked_by"] == "evaluate", "better"] = "higher"
    board = leaderboard(records.drop(columns="train_seconds"), figures[figures["metric"] != "elbo"])
    assert board.metric is None
    assert "Nothing is ranked." in to_markdown(board)


def test_an_evaluator_that_is_added_is_shown_beside_what_ranks(results):
    records, measurements = results
    board = leaderboard(records, added(measurements))
    assert board.headline[:2] == ["elbo", "score"]
    assert "| ELBO ↑ | Score ↑ |" in to_markdown(board)
    assert leaderboard(records, added(measurements), "score").metric == "score"


def test_an_evaluator_of_the_suite_that_no_headline_knows_has_a_column(results):
    records, measurements = results
    own = added(measurements).assign(asked_by="suite")
    assert "score" in leaderboard(records, own).headline


def test_what_nobody_asks_for_is_kept_out_and_said(results):
    records, measurements = results
    gone = records["prior"].eq("vamp[components=50]").map({True: "", False: "suite"})
    old = measurements.assign(evaluator="tightness[samples=9]", value=0.0, asked_by="")
    figures = pd.concat([old, measurements.assign(asked_by="suite")], ignore_index=True)
    board = leaderboard(records.assign(asked_by=gone), figures)
    kept = records[gone != ""]
    alone = leaderboard(kept, measurements[measurements["key"].isin(kept["key"])])
    assert_frame_equal(board.frame, alone.frame)
    text = to_markdown(board)
    assert "16 runs of combinations that the suite no longer has are kept and not shown" in text
    assert (
        "figures of evaluators that the suite no longer has are kept and not shown: tightness[samples=9]"
        in text
    )
    assert "no longer" not in to_markdown(alone)


def test_a_suites_metric_that_was_not_measured_is_said(results, tmp_path):
    records, measurements = results
    keep(SAID, tmp_path)
    (tmp_path / "suite.yaml").write_text("metric: gap[exact]\n")
    board = board_of(records, measurements.drop(columns=["title", "meaning", "shown", "place"]), tmp_path)
    assert "Ranks are by ELBO, as gap[exact] was not measured;" in to_markdown(board)


def test_none_ranks_nothing(results):
    records, measurements = results
    board = leaderboard(records, measurements, "none")
    assert board.frame["rank"].isna().all()
    assert set(board.frame["note"]) == {""}
    text = to_markdown(board)
    assert "| prior | posterior | ELBO ↑ |" in text
    assert "Nothing is ranked." in text
    assert len(to_rich(board)) == 5


def test_bounds_of_different_objectives_are_not_ranked_together(results):
    """The bound of another objective is far higher, and says nothing about the model."""
    records, measurements = results
    other = records.assign(objective="vr_max", key=records["key"] + "-vr_max")
    higher = measurements.assign(objective="vr_max", key=measurements["key"] + "-vr_max")
    figures = pd.concat([measurements, higher.assign(value=higher["value"] + 50)])
    both = pd.concat([records, other]), figures.replace({"metric": {"elbo": "bound"}})
    board = leaderboard(*both, metric="bound")
    ranked = board.frame[board.frame["rank"].notna()]
    assert ranked.groupby(["dataset", "objective"])["rank"].apply(list).tolist() == [[1, 2, 3]] * 4
    assert set(ranked["scale"]) == {"bound of elbo", "bound of vr_max"}
    text = to_markdown(board)
    assert text.index("## digits · bound of elbo\n") < text.index("## digits · bound of vr_max\n")
    assert "nor the bound of one objective against that of another" in text
    by_nmi = leaderboard(*both, metric="nmi")
    assert set(by_nmi.frame["scale"]) == {""}
    assert by_nmi.frame.loc[by_nmi.frame["dataset"] == "digits", "rank"].notna().sum() == 6


@pytest.mark.parametrize("metric", ["elbo", "log_likelihood", "nmi"])
def test_a_density_is_not_ranked_against_a_probability(results, metric):
    """Where both are in nats; what is no logarithm of either is ranked together."""
    records, measurements = results
    counts = records.assign(decoder="poisson", support="count", key=records["key"] + "-poisson")
    figures = measurements.assign(decoder="poisson", key=measurements["key"] + "-poisson")
    every = pd.concat([records.assign(support="real"), counts]), pd.concat([measurements, figures])
    board = leaderboard(*every, metric=metric)
    digits = board.frame[(board.frame["dataset"] == "digits") & board.frame["rank"].notna()]
    scales = [""] if metric == "nmi" else ["density", "probability mass"]
    assert list(dict.fromkeys(digits["scale"])) == scales
    assert [min(part["rank"]) for _, part in digits.groupby("scale")] == [1] * len(scales)
    assert len(digits) == 6


def test_supports_of_one_kind_are_ranked_together(results):
    records, measurements = results
    discrete = records["prior"].eq("standard_normal").map({True: "count", False: "binary"})
    assert set(leaderboard(records.assign(support=discrete), measurements).frame["scale"]) == {""}


def test_runs_that_were_still_improving_are_counted(results):
    records, measurements = results
    improving = pd.array(records["seed"] < 2, dtype="boolean")
    known = records.assign(improving=improving).where(records["status"] == "ok", other=pd.NA)
    records = records.assign(improving=known["improving"].astype("boolean"))
    board = leaderboard(records, measurements)
    assert board.frame.loc[board.frame["dataset"] == "digits", "improving"].fillna(-1).tolist() == [
        2,
        1,
        2,
        -1,
        -1,
    ]
    assert "5 of 11 runs ended while still improving: their best epoch" in to_markdown(board)
    assert "improving" not in to_markdown(leaderboard(records.drop(columns="improving"), measurements))


def test_latent_sizes_are_told_apart_where_records_mix_them(results):
    records, measurements = results
    wider = records.assign(latent=32, key=records["key"] + "-32")
    figures = measurements.assign(key=measurements["key"] + "-32")
    board = leaderboard(pd.concat([records, wider]), pd.concat([measurements, figures]))
    assert len(board.frame) == 20
    assert set(board.frame["latent"]) == {16, 32}


def test_seed_values(results):
    values = seed_values(run_table(results[0], tidy(*results)), "elbo")["digits"]
    assert values.shape == (4, 5)
    assert values["mixture[components=20] · iaf[flows=4] · bernoulli · elbo · pathwise"].isna().tolist() == [
        0,
        1,
        0,
        0,
    ]


def test_the_board_is_the_same_after_a_trip_through_csv(results, tmp_path):
    records, measurements = results
    measurements["value"] += np.random.default_rng(1).random(len(measurements)) / 3
    records["improving"] = records["seed"].gt(1).astype("boolean").where(records["status"] == "ok")
    records.to_csv(tmp_path / "records.csv", index=False)
    measurements.to_csv(tmp_path / "measurements.csv", index=False)
    again = read_results(tmp_path)
    board, reread = leaderboard(records, measurements), leaderboard(*again)
    assert reread.to_csv() == board.to_csv()
    assert to_markdown(reread) == to_markdown(board)
    assert again[1]["value"].tolist() == measurements["value"].tolist()
    assert (again[1]["variant"] == measurements["variant"]).all()
    assert again[0]["seed"].dtype == again[0]["epochs"].dtype == "Int64"
    assert again[0]["improving"].dtype == "boolean"
    assert again[0]["improving"].isna().tolist() == (records["status"] != "ok").tolist()


def test_names_that_look_like_missing_values_stay_text(results, tmp_path):
    records, measurements = results
    records.assign(dataset="NA").to_csv(tmp_path / "records.csv", index=False)
    measurements.assign(method="null").to_csv(tmp_path / "measurements.csv", index=False)
    records, measurements = read_results(tmp_path)
    assert (set(records["dataset"]), set(measurements["method"])) == ({"NA"}, {"null"})


def test_a_directory_without_results_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"is not a results directory: it has no records\.csv"):
        read_results(tmp_path)


def test_order_of_the_records_does_not_matter(results):
    records, measurements = results
    assert_frame_equal(leaderboard(records[::-1], measurements).frame, leaderboard(*results).frame)


def test_markdown(results):
    text = to_markdown(leaderboard(*results))
    assert text.startswith(
        "# Leaderboard: demo (version 1)\n\n## In short\n\n- digits: Use vamp · gaussian: ELBO -80.05 ± 0.46"
    )
    assert "\n\n## digits\n\ndecoder bernoulli; objective elbo; " in text
    assert "| rank | prior | posterior | ELBO ↑ | log p(x) ↑ | NMI ↑ | Training time ↓ | runs |" in text
    assert f"- **refused** (1): {REASON.replace('|', chr(92) + '|')}\n  - standard_normal · exact\n" in text
    assert "- **failed** (1): RuntimeError: a &lt;b>\n  - vamp[components=50] · iaf[flows=2]\n" in text
    assert "- mixture[components=20] · iaf[flows=4]: 3 ok, 1 diverged: loss is not finite" in text
    assert "Runs: 40 (22 ok, 2 diverged, 8 failed, 8 refused)." in text
    assert "| ELBO | nats | evidence lower bound | elbo |" in text
    assert "| NMI |  | agreement with labels | nmi[kmeans] |" in text
    assert "nan" not in text.lower()


def test_every_markdown_row_has_the_cells_of_its_header(results):
    records, measurements = results
    records["prior"] = records["prior"].replace("standard_normal", "a|b\\")
    measurements["prior"] = measurements["prior"].replace("standard_normal", "a|b\\")
    blocks = to_markdown(leaderboard(records, measurements)).split("\n\n")
    tables = [block.rstrip().split("\n") for block in blocks if block.startswith("|")]
    assert len(tables) > 1
    for lines in tables:
        cells = {line.replace("\\\\", "").replace("\\|", "").count("|") for line in lines}
        assert len(cells) == 1, lines[0]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_terminal_tables_fit_and_keep_names_literal(results, width):
    board = leaderboard(*results)
    console = Console(width=width, record=True, file=io.StringIO())
    for table in to_rich(board, width):
        console.print(table)
    text = console.export_text()
    assert max(map(len, text.split("\n"))) <= width
    assert "mixture[components=20]" in text.replace("\n", "")
    assert "iaf[flows=4]" in text
    tables = text.partition("quality against time")[0].partition("Quality against time")[0]
    rows = [line for line in tables.split("\n") if "±" in line]
    assert len(rows) == 6, "each combination takes one line"
    assert ("left out for width" in text) == (width < 120), "what does not fit is named"


def test_json_has_no_nan(results):
    rows = json.loads(leaderboard(*results).to_json())
    assert (len(rows), rows[0]["rank"], rows[4]["elbo"], rows[0]["seeds"]) == (10, 1, None, 4)


def test_csv_is_the_board(results, tmp_path):
    board = leaderboard(*results)
    path = tmp_path / "leaderboard.csv"
    path.write_text(board.to_csv())
    read = pd.read_csv(path, dtype=str)
    assert read["elbo"].astype(float).dropna().tolist() == board.frame["elbo"].dropna().tolist()
    assert list(read.columns) == list(board.frame.columns)


def test_a_lone_row_keeps_its_name(results):
    records, measurements = results
    lone = records[(records["prior"] == "vamp[components=50]") & (records["posterior"] == "gaussian")]
    (section, _) = sections(leaderboard(lone, measurements))
    assert list(section.columns)[:4] == ["rank", "prior", "posterior", "ELBO ↑"]
    assert section.columns["prior"] == ["vamp[components=50]"]


@pytest.mark.parametrize(
    ("mean", "width", "text"),
    [
        (-95.1234, 0.5, "-95.12 ± 0.50"),
        (-95.1234, 12.3, "-95 ± 12"),
        (0.98763, 0.00004, "0.9876 ± 0.0000"),
        (3, 0, "3"),
        (-1.5e-5, 2e-6, "-1.50e-05 ± 2.0e-06"),
        (123456.7, np.nan, "123457"),
        (np.nan, np.nan, "–"),
    ],
)
def test_cells(mean, width, text):
    assert cell(mean, mean - width, mean + width) == text


def test_a_board_says_what_it_is_of(results):
    records, measurements = results
    board = leaderboard(records, measurements)
    assert board.title == "Leaderboard: demo (version 1)"
    assert board.counts == {"ok": 22, "diverged": 2, "failed": 8, "refused": 8}
    assert [board.header(name) for name in board.headline[:2]] == ["ELBO ↑", "log p(x) ↑"]
    assert list(board.names) == list(PARTS[1:])
    assert (board.unasked.runs, board.unasked.evaluators) == (0, [])
    assert len(board.runs) == len(board.records) == len(records)


def test_html_has_every_cell_of_markdown(results):
    """And the claims, escaped; both are set from the same sections."""
    claim = {"claim": "a < b", "metric": "elbo", "higher": {"prior": "vamp*"}, "lower": {"prior": "mixture*"}}
    board = replace(leaderboard(*results), claims=judge([claim], *results))
    text = to_html(board)
    claims = claims_section(board)
    for section in (*sections(board), claims):
        assert all(
            f"<td>{escape(cell)}</td>" in text for column in section.columns.values() for cell in column
        )
    assert claims.columns["verdict"] == ["holds"]
    assert "<td>a &lt; b</td>" in text
    assert f"refused: standard_normal · exact ({escape(REASON)})" in text


def test_importing_takes_no_torch_and_no_figures():
    modules = (
        "lvmbench.results.board, lvmbench.results.markdown, lvmbench.results.pictures.board, "
        "lvmbench.results.publish"
    )
    code = f"import sys, {modules}; print({{'torch', 'matplotlib', 'seaborn'}} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
