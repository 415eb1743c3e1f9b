"""What a run was trained on: held against what the file holds today, and said wherever results are shown."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import lvmbench
from lvmbench import UserError, generator
from lvmbench_plugins.posteriors.gaussian import Gaussian
from tests.conftest import hurry

NOTE = "2 of 8 rows of test equal one of train"


def rows():
    """40 rows; two of those that `table` tests on repeat one that it trains on."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)).round(3), columns=["a", "b"])
    order = torch.randperm(40, generator=generator(0, "table", "split"))
    frame.iloc[order[-2:].tolist()] = frame.iloc[int(order[0])].to_numpy()
    return frame


@pytest.fixture(scope="module")
def trained(tmp_path_factory, suite):
    """A suite on a table, run once."""
    folder = tmp_path_factory.mktemp("trained")
    rows().to_csv(folder / "t.csv", index=False)
    keys = {**suite, "datasets": [f"table[path={folder / 't.csv'}]"], "priors": ["standard_normal"]}
    (folder / "suite.yaml").write_text(json.dumps({**keys, "seeds": [0], "budget": {"epochs": 1}}))
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        lvmbench.run(folder / "suite.yaml", folder / "out", jobs=0, progress=False)
    return folder


@pytest.fixture
def results(trained):
    """Its results, and its table as it was."""
    rows().to_csv(trained / "t.csv", index=False)
    return lvmbench.load(trained / "out")


def changed(how, folder):
    how(rows()).to_csv(folder / "t.csv", index=False)


CHANGES = {
    "a row more": lambda frame: pd.concat([frame, frame[:1] + 1]),
    "a row less": lambda frame: frame[1:],
    "another order": lambda frame: frame[::-1],
    "another value": lambda frame: frame + 1e-3,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_is_not_brought_together_with_other_data(results, trained, change):
    """With a row more, rows that it was trained on would be among those it is tested on."""
    key = results.records["key"][0]
    assert len(results.fitted(key).data.splits["test"]) == 8
    changed(CHANGES[change], trained)
    with pytest.raises(
        UserError, match=r"is no longer what this run was trained on \(sha256 \w{12}, was \w{12}\)"
    ):
        results.fitted(key)
    with pytest.raises(UserError, match="bring the old data back"):
        results.model(key)


def test_a_model_is_not_brought_together_with_components_of_another_version(results, monkeypatch):
    monkeypatch.setattr(Gaussian, "version", Gaussian.version + 1)
    with pytest.raises(
        UserError, match=r"posterior 'gaussian\[.*' has version 2 here, this run was trained with"
    ):
        results.fitted(results.records["key"][0])


def test_what_there_is_to_know_of_the_data_is_said_before_and_after(
    cli, results, trained, tmp_path, monkeypatch
):
    hurry(monkeypatch)
    plan = cli("plan", trained / "suite.yaml", "--no-estimate")
    run = cli("run", trained / "suite.yaml", "--out", shutil.copytree(trained / "out", tmp_path / "out"))
    for shown in (plan, run):
        assert (shown.code, shown.out.count(f": {NOTE}")) == (0, 1)
    assert f"- {NOTE}" in (tmp_path / "out" / "leaderboard.md").read_text()
    cli("publish", tmp_path / "out", tmp_path / "published")
    assert f"- {NOTE}" in (tmp_path / "published" / "leaderboard.md").read_text()


def test_of_ordinary_data_nothing_is_said(cli, tiny):
    shown = cli("plan", tiny.write(), "--no-estimate")
    assert (shown.code, "note:" in shown.out) == (0, False)
