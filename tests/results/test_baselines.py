"""Reference rows: fitted once, shown apart from the ranks, and only on the scale of the figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import lvmbench
from lvmbench.execution import fitting as jobs
from lvmbench.execution import references
from lvmbench.results.baselines import COLUMNS, baselines_in, compared, reopen_baselines, with_rows, with_ways
from lvmbench.results.board import leaderboard
from lvmbench.results.endings import baselines_section
from lvmbench.results.html import to_html
from lvmbench.results.markdown import to_markdown
from lvmbench.results.sections import sections
from lvmbench.results.tables import BASELINES
from tests.results.test_leaderboard import measured, run

NONE = pd.DataFrame(columns=list(COLUMNS))


def row(baseline, value, measure="probability mass", **words):
    ending = {"status": "ok", "reason": "", "split": "test", "stderr": 0.5, "choice": "", "source": ""}
    return {"dataset": "digits", "baseline": baseline, "measure": measure, "value": value, **ending, **words}


def beside(*rows, supports=("binary",), only=None):
    """A board of two decoders' runs, at -20 and -30, with reference rows."""
    records = [
        run(f"prior{i}", "gaussian", seed, support=supports[i % len(supports)])
        for i in (0, 1)
        for seed in (0, 1)
    ]
    values = {"prior0": -20.0, "prior1": -30.0}
    figures = [m for record in records for m in measured(record, values[record["prior"]])]
    chosen = [m for m in figures if only is None or m["metric"] == only]
    board = leaderboard(pd.DataFrame(records), pd.DataFrame(chosen))
    return with_ways(replace(board, baselines=with_rows(NONE, rows)))


def ways(board):
    return dict(zip(board.frame["prior"], board.frame.get("way", [np.nan] * 2), strict=True))


def test_the_way_is_from_the_marginals_to_the_best_known():
    board = beside(row("marginals", -90.0), row("chow_liu", -60.0), only="elbo")
    assert ways(board) == pytest.approx({"prior0": 1.0, "prior1": 60 / 70})
    board = beside(
        row("marginals", -90.0), row("published", -10.0, choice="a model", source="A 2020"), only="elbo"
    )
    assert ways(board) == pytest.approx({"prior0": 70 / 80, "prior1": 60 / 80})
    assert "-10 for digits (a model (A 2020))" in baselines_section(board).notes[1]
    assert board.to_csv().splitlines()[0].endswith(",way")


def test_the_truth_is_the_end_of_the_way_though_a_figure_is_beyond_it():
    board = beside(row("marginals", -90.0), row("truth", -25.0), row("chow_liu", -21.0), only="elbo")
    assert ways(board) == pytest.approx({"prior0": 70 / 65, "prior1": 60 / 65})


def test_a_log_likelihood_is_held_against_baselines_rather_than_a_bound_that_ranks():
    board = beside(row("marginals", -90.0))
    assert (board.metric, compared(board)) == ("elbo", "log_likelihood[exact]")
    assert compared(beside(row("marginals", -90.0), only="nmi")) is None
    assert np.isnan(ways(beside(row("marginals", -90.0), only="nmi"))["prior0"])


def test_figures_per_step_are_not_held_against_those_of_data():
    records = [run("prior0", "gaussian", seed, support="binary") for seed in (0, 1)]
    figures = [m | {"variant": "per_step"} for record in records for m in measured(record, -2.0)]
    board = leaderboard(pd.DataFrame(records), pd.DataFrame(figures))
    assert compared(board) is None
    assert "way" not in with_ways(replace(board, baselines=with_rows(NONE, [row("marginals", -90.0)]))).frame


def test_densities_and_probabilities_are_not_held_against_each_other():
    both = row("marginals", -90.0), row("marginals", 5.0, "density"), row("gaussian", 7.0, "density")
    mass = beside(*both)
    assert baselines_section(mass).columns["model"] == ["marginals"]
    density = beside(*both, supports=("real",))
    assert baselines_section(density).columns["model"] == ["marginals", "gaussian"]
    assert ways(density)["prior0"] == pytest.approx((-17.5 - 5.0) / 2.0)  # of the log-likelihood
    each = baselines_section(beside(*both, supports=("binary", "real")))
    assert set(each.columns["table"]) == {"digits · density", "digits · probability mass"}
    assert each.columns["model"] == ["marginals", "gaussian", "marginals"]


def test_what_is_missing_has_its_reason_and_other_data_no_row():
    gone = row("gaussian", None, stderr=None, status="refused", reason="3 columns are constant in training")
    found = baselines_section(beside(row("marginals", -90.0), gone, row("chow_liu", -5.0, dataset="other")))
    assert found.columns["model"] == ["marginals", "gaussian"]
    assert found.columns["which"][1] == "3 columns are constant in training; refused"
    assert found.columns["log p(x)"] == ["-90.00 ± 0.98", "–"]


def test_no_reference_rows_change_nothing():
    board = beside()
    assert baselines_section(board) is None
    assert "way" not in board.frame
    assert "way" not in sections(board)[0].columns


def test_ranks_are_the_same_with_reference_rows():
    plain, with_rows_ = beside(), beside(row("marginals", -90.0), row("chow_liu", -1.0))
    assert with_rows_.frame["rank"].tolist() == plain.frame["rank"].tolist()
    assert len(with_rows_.frame) == len(plain.frame)


def test_they_are_shown_in_every_form():
    board = beside(row("marginals", -90.0))
    assert "| marginals | -90.00 ± 0.98 | 0.0% |" in to_markdown(board)
    assert "<caption>Reference rows</caption>" in to_html(board)
    assert sections(board)[0].columns["way"] == ["100.0%", "86.2%"]


def test_rows_of_the_same_name_are_replaced():
    rows = with_rows(
        with_rows(NONE, [row("marginals", -90.0, version=1)]), [row("marginals", -80.0, version=2)]
    )
    assert rows["value"].tolist() == [-80.0]


# Fitting


@pytest.fixture
def fitting(tiny, monkeypatch):
    """A tiny suite with baselines."""
    monkeypatch.setattr("lvmbench.execution.runner.due_baselines", references.due_baselines)
    return tiny


@pytest.fixture
def fits(fitting, monkeypatch):
    """The names of the baselines as they are fitted."""
    seen, real = [], jobs.measured

    def noted(baseline, data):
        seen.append(baseline.name)
        if baseline.name == "gaussian":
            raise RuntimeError("no such luck")
        slow = baseline.name in ("gaussian_mixture", "kernel_density")
        return {"split": "test", "value": -1.0} if slow else real(baseline, data)

    monkeypatch.setattr(jobs, "measured", noted)
    return seen


def test_a_run_fits_each_once_and_keeps_what_went_wrong(tiny, fits):
    tiny.run()
    names = ["marginals", "gaussian", "gaussian_mixture", "kernel_density", "truth"]
    assert fits == names
    rows = baselines_in(tiny.folder / "out").set_index("baseline")
    assert rows["status"].to_dict() == dict.fromkeys(names, "ok") | {"gaussian": "failed"}
    assert rows.loc["gaussian", "reason"] == "RuntimeError: no such luck"
    board = lvmbench.load(tiny.folder / "out").board()
    assert board.frame["way"].notna().all()
    before = (tiny.folder / "out" / BASELINES).read_bytes()
    tiny.run()
    assert (fits, (tiny.folder / "out" / BASELINES).read_bytes()) == (names, before)
    reopen_baselines(tiny.folder / "out", {"failed"})
    tiny.run()
    assert fits == [*names, "gaussian"]


def test_other_data_are_fitted_anew(tiny, fits):
    tiny.run()
    done = len(fits)
    tiny.run(datasets=["blobs[train=70,validation=20,test=20]"])
    assert len(fits) == 2 * done
    assert len(baselines_in(tiny.folder / "out")) == 2 * done


@pytest.mark.slow
def test_workers_fit_them_too(fitting):
    fitting.run(jobs=1)
    assert set(baselines_in(fitting.folder / "out")["status"]) == {"ok"}


def test_they_can_be_left_out(fitting, cli):
    shown = cli("run", fitting.write(), "--out", fitting.folder / "out", "--jobs", 0, "--no-baselines")
    assert (shown.code, (fitting.folder / "out" / BASELINES).exists()) == (0, False)
    assert "reference rows" not in shown.out
