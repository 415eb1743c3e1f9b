"""Merging: each run once with all that was found of it, and nothing of two suites in one."""

import shutil

import pandas as pd
import pytest

import lvmbench
from lvmbench.errors import UserError
from lvmbench.results.merging import merge
from lvmbench.results.store import Store
from lvmbench.results.tables import read_results
from tests.conftest import Tiny, hurry
from tests.results.test_baselines import row


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Seeds 0 and 1 of two combinations and a refused one, seeds 1 and 2, and results of other suites."""
    tiny = Tiny(tmp_path_factory.mktemp("parts"))
    priors = {"priors": ["standard_normal", "mixture[components=2]", "bernoulli"]}
    one = {"priors": ["standard_normal"], "seeds": [0], "budget": {"epochs": 1, "batch": 20}}
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        tiny.run("a", seeds=[0, 1], **priors)
        tiny.run("b", seeds=[1, 2], **priors)
        tiny.run("other", suite="other", **one)
        tiny.run("changed", **one)
    return tiny.folder


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    hurry(monkeypatch)


def names(directory):
    records = read_results(directory)[0]
    return set(zip(records["prior"], records["seed"], records["status"], strict=True))


def test_each_run_is_there_once_with_what_was_found_of_it(parts, tmp_path):
    merged = merge([parts / "a", parts / "b"], tmp_path / "out")
    assert (list(merged.taken.values()), merged.shared) == ([6, 3], 3)
    assert names(tmp_path / "out") == names(parts / "a") | names(parts / "b")
    results, before = lvmbench.load(tmp_path / "out"), lvmbench.load(parts / "a").measurements
    mine = results.measurements[results.measurements["key"].isin(before["key"])]
    order = {"by": ["key", "metric", "variant", "method"], "ignore_index": True}
    pd.testing.assert_frame_equal(mine.sort_values(**order), before.sort_values(**order))
    assert len(results.curves) == 6 * 3
    assert sorted(results.board().frame["seeds"]) == [0, 3, 3]
    found = results.verify(sample=1, seed=0)
    assert found.wrong == []
    assert [check.right for check in found.checks if check.what == "weights"] == [6]


def test_the_order_of_directories_decides_of_what_both_have(parts, tmp_path):
    merge([parts / "b", parts / "a"], tmp_path / "out")
    folders = tmp_path / "out", parts / "b"
    found, first = (lvmbench.load(f).records.set_index("key")["weights_sha256"] for f in folders)
    assert found[first.index].equals(first)


def test_a_run_that_is_ok_is_taken_before_one_that_is_not(parts, tmp_path):
    folder = shutil.copytree(parts / "a", tmp_path / "copy")
    with Store.at(folder) as store:
        store.reopen([key for key, status in store.statuses().items() if status == "ok"])
    merge([folder, parts / "b"], tmp_path / "out")
    records = lvmbench.load(tmp_path / "out").records
    assert sorted(records.loc[records["status"] == "ok", "seed"]) == [1, 1, 2, 2]
    assert sorted(records.loc[records["status"] == "interrupted", "seed"]) == [0, 0]


def test_baselines_are_put_together(parts, tmp_path):
    for name, value in (("a", -1.0), ("b", -2.0)):
        shutil.copytree(parts / name, tmp_path / name)
        line = {**row("marginals", value, dataset=name), "sha256": "x", "version": 1, "seconds": 0.0}
        pd.DataFrame([line]).to_csv(tmp_path / name / "baselines.csv", index=False)
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert lvmbench.load(tmp_path / "out").board().baselines["value"].tolist() == [-1.0, -2.0]


def test_results_of_two_suites_are_refused(parts, tmp_path):
    said = "'.*a' holds suite 'tiny' version 1, '.*other' suite 'other' version 1; merge results of one suite"
    with pytest.raises(UserError, match=said):
        merge([parts / "a", parts / "other"], tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_a_suite_that_was_changed_is_refused(parts, tmp_path):
    for folder, epochs in (("a", 3), ("changed", 1)):
        shutil.copytree(parts / folder, tmp_path / folder)
        (tmp_path / folder / "suite.yaml").write_text(
            f"suite: tiny\nbudget: {{epochs: {epochs}}}\nseeds: {epochs}"
        )
    with pytest.raises(UserError, match="with other budget; a suite that is changed has another version"):
        merge([tmp_path / "a", tmp_path / "changed"], tmp_path / "out")


def test_a_run_of_other_data_is_refused(parts, tmp_path):
    folder = shutil.copytree(parts / "b", tmp_path / "b")
    with Store.at(folder) as store, store.writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET key = 'x' || key")
    with pytest.raises(
        UserError, match="seed 1 of .* was trained in '.*b' with other data or other versions"
    ):
        merge([parts / "a", folder], tmp_path / "out")


def test_bad_input_is_one_line(parts, tmp_path, cli):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    (tmp_path / "empty").mkdir()
    later = shutil.copytree(parts / "other", tmp_path / "later")
    with Store.at(later) as store:
        store.note(schema="999")
    for words, said in {
        (parts / "a", parts / "other", "--out", tmp_path / "x"): "merge results of one suite",
        (parts / "a", tmp_path / "empty", "--out", tmp_path / "x"): "holds no results",
        (parts / "a", parts / "a", "--out", tmp_path / "x"): "takes two results directories or more",
        (parts / "a", parts / "b", "--out", tmp_path / "full"): "is there and not empty",
        (parts / "a", later, "--out", tmp_path / "x"): "has schema 999",
    }.items():
        shown = cli("merge", *words)
        assert (shown.code, shown.err.count("\n")) == (2, 1)
        assert said in shown.err
    assert not (tmp_path / "x").exists()
    shown = cli("merge", parts / "a", parts / "b", "--out", tmp_path / "out")
    assert (shown.code, shown.err) == (0, "")
    assert "3 runs of several directories: the first that is ok is taken" in shown.out
