"""Verifying: what is as on record is counted, what differs is named, and what cannot be verified is said."""

import json
import shutil
import sqlite3

import pandas as pd
import pytest

import lvmbench
from lvmbench.errors import UserError
from lvmbench.results.folder import rebuild
from lvmbench.results.provenance import PROVENANCE
from lvmbench.results.publish import Made, publish
from tests.conftest import Tiny, hurry


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A results directory of two runs, one figure of which goes by the clock."""
    tiny = Tiny(tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        evaluators = ["tightness[samples=20,repeats=5]", "cost[samples=10,repeats=2]"]
        tiny.run(priors=["standard_normal"], evaluators=evaluators)
    return tiny.folder / "out"


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "out")


@pytest.fixture
def board(out, tmp_path, monkeypatch):
    """The same, published with weights."""
    hurry(monkeypatch)
    with lvmbench.results.store.Store.at(out) as store:
        publish(out, tmp_path / "board", Made.of(store, weights=True))
    return tmp_path / "board"


def checks(directory, **options):
    found = lvmbench.load(directory).verify(**{"sample": 2, "seed": 0, **options})
    return {check.what: check for check in found.checks}


def flip(folder):
    """Change a byte of the first weights."""
    file = min((folder / "weights").glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    return file.stem


def test_results_are_as_on_record(out):
    found = checks(out)
    assert {what: check.right for what, check in found.items() if what != "figures measured again"} == {
        "files": 0,
        "tables": 4,
        "leaderboard": 1,
        "weights": 2,
        "figures of single data": 2,
    }
    measured = lvmbench.load(out).measurements
    timed = measured["metric"].isin(["samples_per_second"]).sum()
    assert found["figures measured again"].right == len(measured) - timed > 0
    assert not any(check.wrong or check.unknown for check in found.values())


def test_weights_that_were_changed_are_named_and_not_measured(out):
    run, found = flip(out), checks(out)
    assert found["weights"].right == 1
    assert found["weights"].wrong[0].startswith(f"the weights of run {run} are not those that were trained")
    assert len(found["figures measured again"].unknown) == 1
    assert found["figures measured again"].right > 0


def test_figures_that_were_edited_are_named(out):
    connection = sqlite3.connect(out / "store.sqlite")
    connection.execute("UPDATE measurements SET value = value + 1 WHERE metric = 'elbo'")
    connection.commit()
    connection.close()
    found = checks(out)
    assert found["tables"].wrong == ["measurements.csv is not what the store gives"]
    lines = found["figures measured again"].wrong
    assert len(lines) == 2
    assert all(": elbo is " in line and "standard errors" in line for line in lines)


def test_a_table_or_a_board_that_was_edited_is_named(out):
    table = pd.read_csv(out / "records.csv")
    table.assign(train_seconds=0.0).to_csv(out / "records.csv", index=False)
    (out / "leaderboard.csv").write_text(
        (out / "leaderboard.csv").read_text().replace("standard_normal", "vamp")
    )
    found = checks(out, sample=0)
    assert found["tables"].wrong == ["records.csv is not what the store gives"]
    assert len(found["leaderboard"].wrong) == 1
    (out / "leaderboard.csv").unlink()
    assert checks(out, sample=0)["leaderboard"].wrong == ["leaderboard.csv is missing"]


def test_a_published_board_is_measured_again_from_its_weights(board):
    found = checks(board)
    assert found["files"].right == len(json.loads((board / PROVENANCE).read_text())["files"]) >= 5
    assert (found["weights"].right, found["leaderboard"].right) == (2, 1)
    assert found["figures measured again"].right > 0
    assert not any(check.wrong or check.unknown for check in found.values())
    assert lvmbench.load(board).fitted(lvmbench.load(board).records.iloc[0]).model.parameters_count > 0


def test_what_was_edited_in_a_published_board_is_named(board):
    path = board / "measurements.csv"
    table = pd.read_csv(path, keep_default_na=False)
    table.loc[table["metric"] == "elbo", "value"] += 1.0
    table.to_csv(path, index=False)
    flip(board)
    found = checks(board)
    assert [line.partition(":")[0] for line in found["files"].wrong] == ["measurements.csv"]
    assert len(found["weights"].wrong) == len(found["leaderboard"].wrong) == 1
    assert [": elbo is " in line for line in found["figures measured again"].wrong] == [True]


def test_without_weights_a_published_board_says_what_cannot_be_verified(board, cli):
    shutil.rmtree(board / "weights")
    shown = cli("verify", board, "--seed", 3)
    assert shown.code == 0
    assert "weights: cannot be verified: the weights of 2 runs are not published" in shown.out
    assert "chosen by --seed 3" in shown.out
    (board / PROVENANCE).unlink()
    assert "files: cannot be verified: no checksums of files are published" in cli("verify", board).out
    with pytest.raises(UserError, match="published board, which has no weights"):
        lvmbench.load(board).fitted(lvmbench.load(board).records.iloc[0])


def test_a_board_that_does_not_say_what_it_was_made_with(board):
    (board / PROVENANCE).unlink()
    unknown = checks(board)["figures measured again"].unknown
    assert len(unknown) == 2
    assert all("does not say what the run" in line for line in unknown)


def test_data_that_are_other_ones_now_cannot_be_verified(board):
    content = json.loads((board / PROVENANCE).read_text())
    for about in content["components"]["dataset"].values():
        about["sha256"] = "0" * 64
    (board / PROVENANCE).write_text(json.dumps(content))
    assert all(
        "is no longer what this run was trained on" in line
        for line in checks(board)["figures measured again"].unknown
    )


def test_the_command_says_what_differs_and_ends_with_1(out, cli):
    assert cli("verify", out, "--sample", 1, "--seed", 0).code == 0
    run = flip(out)
    shown = cli("verify", out, "--sample", 0)
    assert (shown.code, shown.err) == (1, "")
    assert f"differs: the weights of run {run} are not those that were trained" in shown.out


def test_an_empty_directory_is_a_users_error(tmp_path, cli):
    shown = cli("verify", tmp_path)
    assert (shown.code, shown.err.count("\n")) == (2, 1)


def test_weights_that_cannot_be_used_are_not_published(out, tmp_path, cli):
    assert rebuild(out)
    flip(out)
    shown = cli("publish", out, tmp_path / "board", "--weights")
    assert (shown.code, shown.err.count("\n")) == (2, 1)
    assert "are not those that were trained" in shown.err
    assert not (tmp_path / "board").exists()
