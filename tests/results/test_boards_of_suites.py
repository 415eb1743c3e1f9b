"""A results directory's board shows what its suite asks for now, whatever was run,
evaluated and changed before.
"""

import numpy as np
import pandas as pd
import pytest

import lvmbench
from lvmbench.results import folder
from lvmbench.results.folder import rebuild
from lvmbench.results.tables import _improving, read_results, stored_tables

TIGHTNESS = "tightness[repeats=5,samples=20]"
GAP = "gap_split[data=3,steps=5,temperatures=0]"


def board_of(tiny, metric=None):
    with tiny.store() as store:
        return folder.board_of(*stored_tables(store), tiny.folder / "out", metric)


def said(tiny):
    return (tiny.folder / "out" / "leaderboard.md").read_text()


@pytest.fixture
def evaluate(tiny, cli):
    """``lvmbench evaluate`` on the results, in this process."""
    return lambda name: cli("evaluate", tiny.folder / "out", "--evaluator", name, "--jobs", "0")


def test_a_new_evaluator_in_place_of_the_old_is_what_the_board_shows(tiny):
    tiny.have()
    tiny.run(
        evaluators=["tightness[samples=30,repeats=5]"], priors=["standard_normal", "mixture[components=3]"]
    )
    board = board_of(tiny)
    _, measurements = read_results(tiny.folder / "out")
    assert board.frame["elbo"].notna().all()
    assert board.metric == "elbo"
    assert set(board.frame["prior"]) == {"standard_normal", "mixture[components=3]"}
    assert set(measurements["evaluator"]) == {TIGHTNESS, "tightness[repeats=5,samples=30]"}
    assert f"the suite no longer has are kept and not shown: {TIGHTNESS}" in said(tiny)
    assert "2 runs of combinations that the suite no longer has are kept and not shown" in said(tiny)


def test_what_the_suite_has_again_is_shown_again(tiny):
    tiny.have()
    before = board_of(tiny)
    tiny.run(priors=["standard_normal"], evaluators=["clustering"])
    assert "no longer has" in said(tiny)
    tiny.run()
    assert board_of(tiny).to_csv() == before.to_csv()


@pytest.mark.parametrize("evaluator", [GAP, "tightness[samples=3]", "clustering", "cost"])
def test_an_evaluator_that_is_added_is_shown_and_changes_no_rank(tiny, evaluate, evaluator):
    tiny.have()
    before = board_of(tiny)
    shown = evaluate(evaluator)
    after = board_of(tiny)
    assert after.frame[before.frame.columns].equals(before.frame)
    with tiny.store() as store:
        found = stored_tables(store)[1].query("asked_by == 'evaluate'")
    assert set(found["evaluator"].str.partition("[")[0]) == {evaluator.partition("[")[0]}
    first = after.headline[1]
    assert first not in before.headline
    assert first.partition("[")[0].partition("@")[0].partition("_")[0] in shown.out
    assert first in said(tiny)


def test_running_the_suite_again_keeps_what_was_added(tiny, evaluate):
    tiny.have()
    evaluate("clustering")
    before = board_of(tiny).headline
    tiny.run(seeds=3)
    assert board_of(tiny).headline == before


def test_an_evaluator_that_joins_the_suite_after_the_others_does_not_rank(tiny):
    """Though its name comes first, and it measures the same."""
    tiny.have()
    tiny.run(evaluators=[TIGHTNESS, GAP])
    assert board_of(tiny).metric == f"elbo@{TIGHTNESS}"
    assert board_of(tiny, "elbo").metric == f"elbo@{TIGHTNESS}"


def test_runs_of_the_suite_that_are_not_done_this_time_stay_on_the_board(tiny, cli):
    """Other seeds than the suite's, and combinations that ``--only`` leaves out."""
    tiny.run(seeds=3)
    cli(
        "run",
        tiny.folder / "tiny.yaml",
        "--out",
        tiny.folder / "out",
        "--only",
        "mixture",
        "--seeds",
        "2",
        "--jobs",
        "0",
    )
    assert board_of(tiny).frame["seeds"].tolist() == [3, 3]
    assert "no longer has" not in said(tiny)


def test_the_board_is_the_same_from_its_files(tiny, evaluate):
    tiny.have()
    evaluate(GAP)
    tiny.run(priors=["standard_normal"])
    board = board_of(tiny)
    assert rebuild(tiny.folder / "out").to_csv() == board.to_csv()
    assert lvmbench.load(tiny.folder / "out").board().to_csv() == board.to_csv()


BUDGET = {"batch": 20, "learning_rate": 1e-2}


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_a_run_was_still_improving_where_its_best_epoch_is_its_last(tiny, patience):
    """At 20 epochs the last 5% are one. What waited for its patience in vain had stopped."""
    tiny.run(seeds=4, budget={**BUDGET, "learning_rate": 0.3, "epochs": 20, "patience": patience})
    records, _ = read_results(tiny.folder / "out")
    waited = records["trained_epochs"] - records["best_epoch"]
    assert (records["improving"] == (waited == 0)).all()
    count = int((waited == 0).sum())
    assert (f"{count} of 8 runs ended while still improving" in said(tiny)) == (count > 0)


@pytest.mark.parametrize(
    ("stopped", "improving"),
    [
        ("budget", [True, True, False]),
        ("seconds", [True, True, False]),
        ("patience", [False] * 3),
        ("untrainable", [False] * 3),
    ],
)
def test_only_a_run_that_was_cut_short_within_its_last_epochs_was_still_improving(stopped, improving):
    """With 60 epochs the last 5% are three, and patience may wait for less."""
    records = pd.DataFrame({"trained_epochs": [60, 60, 60], "best_epoch": [60, 58, 57]}, dtype="Int64")
    assert _improving(records.assign(status="ok", stopped=stopped)).tolist() == improving


def test_runs_that_are_not_ok_are_not_said_to_improve(tiny):
    tiny.run(posteriors=["gaussian[hidden=8,layers=1]", "bernoulli"])
    records, _ = read_results(tiny.folder / "out")
    assert (records["improving"].isna() == (records["status"] != "ok")).all()
    assert (records["status"] == "refused").any()


def test_what_a_decoder_gives_probability_to_is_on_record(tiny):
    tiny.have()
    records, _ = read_results(tiny.folder / "out")
    assert set(records["support"]) == {"real"}


COUNTS = """
import lvmbench
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian

class Mass(LinearGaussian.distribution):
    support = "count"

class Counts(LinearGaussian):
    distribution = Mass

@lvmbench.hookimpl
def lvmbench_register(register):
    register.decoder("counts", Counts)
"""


def test_a_decoder_of_probabilities_has_a_table_of_its_own(tiny):
    """On the same data as one of densities."""
    decoders = ["linear_gaussian", "counts"]
    tiny.run(plugins=[tiny.plugin("masses", COUNTS)], decoders=decoders, priors=["standard_normal"])
    records, _ = read_results(tiny.folder / "out")
    assert dict(zip(records["decoder"], records["support"], strict=True)) == {
        "linear_gaussian": "real",
        "counts": "count",
    }
    board = board_of(tiny)
    assert board.frame["scale"].tolist() == ["density", "probability mass"]
    assert board.frame["rank"].tolist() == [1, 1]
    assert "· probability mass\n" in said(tiny)


def test_densities_and_probabilities_of_grey_images_have_a_table_each(tiny):
    heads = ("gaussian", "continuous_bernoulli", "categorical", "logistic_mixture")
    tiny.run(
        datasets=["digits[binarize=none]"],
        decoders=[f"{head}[hidden=4,layers=1]" for head in heads],
        priors=["standard_normal"],
        seeds=[0],
        budget={"epochs": 1, "batch": 300},
    )
    frame = board_of(tiny).frame
    found = {str(d).partition("[")[0]: s for d, s in zip(frame["decoder"], frame["scale"], strict=True)}
    assert found == dict(zip(heads, ["density"] * 2 + ["probability mass"] * 2, strict=True))


def test_a_suite_may_rank_nothing(tiny):
    tiny.run(metric="none")
    board = rebuild(tiny.folder / "out")
    assert board.frame["rank"].isna().all()
    assert "Nothing is ranked." in said(tiny)
    assert np.isfinite(board.frame["elbo"]).all()
