"""Publishing: complete or not at all, only what is finished, and the board is the one its records give."""

import json

import pandas as pd
import pytest

from lvmbench.errors import UserError
from lvmbench.leaderboard import read_results
from lvmbench.publish import board_of, publish

SUITE = """
suite: demo
version: 2
datasets: [digits]
priors: [mixture, standard_normal]
posteriors: [gaussian]
decoders: [bernoulli]
objectives: [elbo]
latent: 16
seeds: 3
budget: {epochs: 1}
evaluators: [clustering]
metric: nmi
"""
FILES = {
    "suite.yaml",
    "records.csv",
    "measurements.csv",
    "leaderboard.csv",
    "leaderboard.md",
    "leaderboard.svg",
    "README.md",
}


@pytest.fixture
def directory(tmp_path):
    """A results directory of two priors with three seeds."""
    records, measurements = [], []
    for prior, shift in (("mixture", 1.0), ("standard_normal", 0.0)):
        for seed in range(3):
            words = {"dataset": "digits", "prior": prior, "posterior": "gaussian", "decoder": "bernoulli"}
            words = {
                "key": f"{prior}-{seed}",
                **words,
                "objective": "elbo",
                "estimator": "pathwise",
                "seed": seed,
            }
            state = {"latent": 16, "status": "ok", "reason": ""}
            records.append({"suite": "demo", "suite_version": 2, **words, **state})
            for metric, value in (("elbo", -90 + shift + seed / 7), ("nmi", 0.5 - shift / 10 + seed / 70)):
                where = {"evaluator": "all", "split": "test", "metric": metric, "variant": "", "method": ""}
                measurements.append(
                    {**words, **where, "value": value, "stderr": None, "unit": "", "better": "higher"}
                )
    out = tmp_path / "out"
    out.mkdir()
    (out / "suite.yaml").write_text(SUITE)
    pd.DataFrame(records).to_csv(out / "records.csv", index=False)
    pd.DataFrame(measurements).to_csv(out / "measurements.csv", index=False)
    return out


def test_rebuild_ranks_by_the_suites_metric(directory):
    board = board_of(*read_results(directory), directory)
    assert (board.attrs["metric"], board["prior"].tolist()) == ("nmi", ["standard_normal", "mixture"])
    (directory / "suite.yaml").unlink()
    board = board_of(*read_results(directory), directory)
    assert (board.attrs["metric"], board["prior"].tolist()) == ("elbo", ["mixture", "standard_normal"])


def test_publish_writes_everything_and_leaves_nothing_else(directory, tmp_path):
    target = tmp_path / "leaderboards" / "demo"
    publish(directory, target)
    assert {path.name for path in target.iterdir()} == FILES
    assert {path.name for path in target.parent.iterdir()} == {"demo"}
    for name in ("suite.yaml", "records.csv", "measurements.csv"):
        assert (target / name).read_bytes() == (directory / name).read_bytes()
    assert (target / "leaderboard.md").read_text().startswith("# Leaderboard: demo (version 2)")


def test_publishing_again_gives_the_same_files(directory, tmp_path):
    target = tmp_path / "demo"
    publish(directory, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    (target / "stray.txt").write_text("from an older version")
    publish(directory, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_the_note_says_how_to_redo_it(directory, tmp_path):
    machine = {
        "lvmbench": "9.9",
        "processor": "Abacus 3000",
        "cores": 8,
        "memory_gib": 31.2,
        "cuda": {"devices": ["GPU X"]},
    }
    (directory / "environment.json").write_text(json.dumps(machine))
    publish(directory, tmp_path / "demo")
    text = (tmp_path / "demo" / "README.md").read_text()
    assert "Made with lvmbench 9.9 on Abacus 3000, 8 cores, 31.2 GiB, GPU X." in text
    assert "lvmbench run suite.yaml --out demo" in text
    (directory / "environment.json").write_text(json.dumps({"a1": machine, "b2": machine | {"cores": 4}}))
    publish(directory, tmp_path / "demo")
    assert (
        "Abacus 3000, 8 cores, 31.2 GiB, GPU X; Abacus 3000, 4 cores"
        in (tmp_path / "demo" / "README.md").read_text()
    )


def test_unfinished_runs_are_refused(directory, tmp_path):
    records = pd.read_csv(directory / "records.csv")
    records.loc[2, "status"] = "interrupted"
    records.to_csv(directory / "records.csv", index=False)
    with pytest.raises(UserError, match="1 run is unfinished"):
        publish(directory, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("name", ["suite.yaml", "records.csv", "measurements.csv"])
def test_what_is_no_results_directory_is_refused(directory, tmp_path, name):
    (directory / name).unlink()
    with pytest.raises(UserError, match=f"not a results directory: it has no {name}"):
        publish(directory, tmp_path / "demo")


def test_other_folders_are_never_replaced(directory, tmp_path):
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not a published leaderboard"):
        publish(directory, other)
    with pytest.raises(UserError, match="results directory itself"):
        publish(directory, directory)
    assert (other / "thesis.tex").read_text() == "years of work"


def test_a_failure_leaves_what_was_published(directory, tmp_path, monkeypatch):
    target = tmp_path / "demo"
    publish(directory, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("lvmbench.publish.write_board", fail)
    with pytest.raises(OSError, match="disk full"):
        publish(directory, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"demo", "out"}


def test_a_suite_that_is_not_yaml_is_a_users_error(directory):
    (directory / "suite.yaml").write_text("suite: [")
    with pytest.raises(UserError, match="suite.yaml"):
        board_of(*read_results(directory), directory)
