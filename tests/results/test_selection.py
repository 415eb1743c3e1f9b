"""Boards of some of the runs, by two axes, in another order, for LaTeX, and with refusals counted."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from lvmbench.errors import UserError
from lvmbench.results.board import leaderboard
from lvmbench.results.latex import to_latex
from lvmbench.results.markdown import to_markdown
from lvmbench.results.pivot import Pivot
from lvmbench.results.sections import COUNTED, FEW, Section, sections
from lvmbench.results.selection import chosen

LEVELS = {"mixture[components=20]": -90.0, "standard_normal": -100.0, "vamp[components=50]": -80.0}
GAINS = {"gaussian": 0.0, "iaf[flows=2]": 3.0}


def record(key, seed, **words):
    known = {"key": f"{key}-{seed}", "suite": "demo", "suite_version": 1, "dataset": "digits", "latent": 8}
    known |= {
        "prior": "standard_normal",
        "posterior": "gaussian",
        "decoder": "bernoulli",
        "objective": "elbo",
    }
    known |= {"estimator": "blend", "learning_rate": 1e-3, "seed": seed, "status": "ok", "reason": ""}
    return known | {"train_seconds": 1.0} | words


@pytest.fixture
def results():
    """A full grid of priors and posteriors, for two latent sizes of the standard normal."""
    cells = [(prior, posterior, 8) for prior in LEVELS for posterior in GAINS]
    cells += [("standard_normal", posterior, 16) for posterior in GAINS]
    rows, figures = [], []
    for number, (prior, posterior, latent) in enumerate(cells):
        for seed in range(3):
            words = {"prior": prior, "posterior": posterior, "latent": latent}
            rows.append(record(f"run{number}", seed, **words, train_seconds=float(number)))
            value = LEVELS[prior] + GAINS[posterior] + latent + 0.01 * seed
            figures.append({"key": rows[-1]["key"], "metric": "elbo", "value": value, "stderr": 0.1})
    long = pd.DataFrame(figures).assign(
        evaluator="tightness", split="test", variant="", method="", unit="nats", better="higher"
    )
    return pd.DataFrame(rows), long


def test_runs_are_chosen_by_components_and_settings(results):
    records = results[0]

    def left(*where):
        return set(chosen(records, where)[["prior", "latent"]].itertuples(index=False, name=None))

    assert left("prior=vamp") == left("prior=vamp[components=50]") == {("vamp[components=50]", 8)}
    assert left("prior=*mi*", "latent=8") == {("mixture[components=20]", 8)}
    assert left("latent=16") == {("standard_normal", 16)}
    assert len(chosen(records, ["learning_rate=1e-3"])) == len(records)
    assert chosen(records, []) is records


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("prior=vam", "no run that is left is like that; prior is mixture[components=20], standard"),
        ("prio=vamp", "'prio' names no component or setting; did you mean 'prior'"),
        ("prior", "write NAME=PATTERN"),
        ("prior=", "write NAME=PATTERN"),
        ("clip=3", "clip is none"),
    ],
)
def test_a_condition_that_cannot_be_met_says_what_there_is(results, where, said):
    with pytest.raises(UserError) as refused:
        chosen(results[0], [where])
    assert said in str(refused.value)


def test_rows_are_ordered_by_another_figure_and_keep_their_ranks(results):
    board = leaderboard(*results)
    by_time = board.by("train_seconds")
    assert by_time.frame["train_seconds"].is_monotonic_increasing
    assert not board.frame["train_seconds"].is_monotonic_increasing
    ranks = [
        frame.set_index(["prior", "posterior", "latent"])["rank"] for frame in (board.frame, by_time.frame)
    ]
    pd.testing.assert_series_equal(ranks[0].sort_index(), ranks[1].sort_index())
    with pytest.raises(UserError, match="did you mean 'elbo'"):
        board.by("elbow")


def test_a_pivot_averages_nothing(results):
    pivot = Pivot.of(leaderboard(*results), "prior", "posterior")
    frame = pivot.frame.set_index(["everything else", "prior"])
    assert set(frame.columns) == set(GAINS)
    for (rest, prior), row in frame.iterrows():
        for posterior, gain in GAINS.items():
            due = LEVELS[prior] + gain + float(rest.removeprefix("latent=")) + 0.01
            assert row[posterior] == pytest.approx(due)
    assert {section.title for section in pivot.sections} == {"Elbo ↑ · latent=8", "Elbo ↑ · latent=16"}
    larger = next(section for section in pivot.sections if section.title.endswith("16"))
    assert larger.columns["prior"] == ["standard_normal"]
    assert larger.columns["gaussian"] == ["-83.990 ± 0.025"]


def test_a_pivot_says_why_a_cell_is_empty_and_leaves_out_what_nothing_was_measured_of(results):
    records, figures = results
    records.loc[records["prior"] == "vamp[components=50]", ["status", "reason"]] = "refused", "it is too good"
    lost = records["key"].where(
        (records["prior"] == "mixture[components=20]") & (records["posterior"] == "gaussian")
    )
    records.loc[lost.notna(), "status"] = "diverged"
    (large, small) = sorted(
        Pivot.of(leaderboard(records, figures), "prior", "posterior").sections, key=lambda s: s.title
    )
    by_prior = dict(zip(small.columns["prior"], small.columns["gaussian"], strict=True))
    assert by_prior["vamp[components=50]"] == "refused"
    assert by_prior["mixture[components=20]"] == "diverged"
    none = figures[~figures["key"].isin(records.loc[records["latent"] == 16, "key"])]
    assert [s.title for s in Pivot.of(leaderboard(records, none), "prior", "posterior").sections] == [
        small.title
    ]
    assert large.title == "Elbo ↑ · latent=16"


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (
            ("priors", "posterior"),
            "--rows priors: nothing of that name is on this board; did you mean 'prior'",
        ),
        (("prior", "epochs"), "--columns epochs: nothing of that name is on this board"),
        (("prior", "prior"), "--rows and --columns are both prior"),
    ],
)
def test_a_pivot_is_of_two_axes_of_the_board(results, axes, said):
    with pytest.raises(UserError) as refused:
        Pivot.of(leaderboard(*results), *axes)
    assert said in str(refused.value)


def test_many_refusals_are_counted_and_few_are_named():
    def board(refused):
        rows = [record("fine", seed) for seed in range(2)]
        rows += [record(f"not{i}", 0, latent=i, status="refused", reason="no") for i in range(9, 9 + refused)]
        rows += [record("lost", 0, latent=1, status="failed", reason="RuntimeError")]
        return leaderboard(pd.DataFrame(rows), _elbo(rows[:2]))

    few, many = board(FEW), board(FEW + 1)
    assert "  - latent=9" in to_markdown(few)
    assert COUNTED.split(";")[0] not in to_markdown(few)
    assert f"- **refused** ({FEW + 1}): no\n\n" in to_markdown(many)
    assert COUNTED.split(";")[0] in to_markdown(many)
    assert "  - latent=9" in to_markdown(many, refused=True)
    failed, refused = (
        next(h for h in sections(many)[0].holes if h.status == s) for s in ("failed", "refused")
    )
    assert failed.combinations
    assert (refused.combinations, refused.count) == ([], FEW + 1)


def _elbo(rows):
    figure = {"evaluator": "tightness", "split": "test", "metric": "elbo", "variant": "", "method": ""}
    figure |= {"unit": "nats", "better": "higher", "stderr": np.nan}
    return pd.DataFrame([{"key": row["key"], "value": -1.0 - row["seed"], **figure} for row in rows])


def test_latex_shows_signs_and_names_as_they_are(tmp_path):
    columns = {"rank": ["1", "–"], "prior_1": ["a_b[c=1]", "50% & more"], "Elbo ↑": ["-1.0 ± 0.2", "–"]}
    text = to_latex([Section("digits · α_1 100%", columns, ["rank", "Elbo ↑"])])
    assert r"\begin{tabular}{rlr}" in text
    assert r"1 & a\_b[c=1] & -1.0 $\pm$ 0.2 \\" in text
    assert r"-- & 50\% \& more & -- \\" in text
    assert r"\caption{digits $\cdot$ α\_1 100\%}" in text
    if shutil.which("pdflatex"):
        whole = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + text + r"\end{document}"
        (tmp_path / "board.tex").write_text(whole, encoding="utf-8")
        subprocess.run(["pdflatex", "-halt-on-error", "board.tex"], cwd=tmp_path, check=True)
