"""Publishing: complete or not at all, only what is finished, and the board is the one its records give."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import lvmbench
from lvmbench.errors import UserError
from lvmbench.results import export
from lvmbench.results.folder import rebuild
from lvmbench.results.publish import publish

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
    "provenance.json",
}

DRAW = export._draw
"""What draws the figures, which `tiny` replaces."""


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
    board = rebuild(directory)
    assert (board.metric, board.frame["prior"].tolist()) == ("nmi", ["standard_normal", "mixture"])
    (directory / "suite.yaml").unlink()
    board = rebuild(directory)
    assert (board.metric, board.frame["prior"].tolist()) == ("elbo", ["mixture", "standard_normal"])


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
    (directory / "environment.json").write_text(json.dumps({"a1": machine}))
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


def test_what_was_written_of_changes_is_kept(directory, tmp_path):
    target = tmp_path / "demo"
    publish(directory, target)
    said = "\n## What changed\n\n- Version 2: other gradients.\n"
    (target / "README.md").write_text((target / "README.md").read_text() + said)
    before = (target / "README.md").read_text()
    publish(directory, target)
    assert (target / "README.md").read_text() == before


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

    monkeypatch.setattr("lvmbench.results.publish.write_board", fail)
    with pytest.raises(OSError, match="disk full"):
        publish(directory, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"demo", "out"}


def test_a_suite_that_is_not_yaml_is_a_users_error(directory):
    (directory / "suite.yaml").write_text("suite: [")
    with pytest.raises(UserError, match="suite.yaml"):
        rebuild(directory)


# Reading back, and doing again


PLUGIN = """
import torch
import lvmbench
from lvmbench import DiagonalNormal, LatentSpace, Prior

class Scaled(Prior):
    '''A normal prior whose scale is learned.'''

    distribution = DiagonalNormal

    def __init__(self, data, latent):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.zeros(latent))

    @property
    def space(self):
        return LatentSpace(tuple(self.log_scale.shape))

    def forward(self, model):
        return DiagonalNormal(torch.zeros_like(self.log_scale), self.log_scale)

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("{name}", Scaled)
"""


@pytest.fixture
def made(tiny, suite, monkeypatch):
    """Runs of a local plugin on a table of one's own, named by relative paths,
    with an evaluator that was added later.
    """
    monkeypatch.chdir(tiny.folder)

    def make(name):
        rng = np.random.default_rng(0)
        pd.DataFrame(rng.normal(size=(60, 2)), columns=["price_$", "b"]).to_csv("own.csv", index=False)
        plugin = tiny.plugin(name, PLUGIN.replace("{name}", name))
        changes = {"datasets": ["table[path=own.csv]"], "priors": ["standard_normal", name], "seeds": 2}
        tiny.run(plugins=[plugin], **changes)
        tiny.run(plugins=[plugin], **changes, evaluators=["tightness[repeats=5,samples=30]"], training=False)
        (tiny.folder / "out" / "suite.yaml").write_text(json.dumps(suite | changes))
        return tiny.folder / "out", plugin

    return make


def block(text):
    """The lines of the shell in a README."""
    return text.split("```")[1].strip().splitlines()


def test_a_published_board_is_read_as_it_was_published(made, cli, tmp_path):
    directory, _ = made("redo_read")
    shown = cli("publish", directory, "board", "--trust")
    assert (shown.code, shown.err) == (0, "")
    board, results = tmp_path / "board", lvmbench.load(tmp_path / "board")
    published = pd.read_csv(board / "leaderboard.csv")
    assert_frame_equal(pd.read_csv(StringIO(results.board().to_csv())), published)
    assert cli("leaderboard", board, "--format", "csv").out == (board / "leaderboard.csv").read_text()
    assert cli("leaderboard", board).out == cli("leaderboard", directory).out
    here = lvmbench.load(directory)
    for table in ("records", "measurements", "evaluations", "curves"):
        found, stored = (getattr(part, table).astype(object) for part in (results, here))
        assert_frame_equal(found.fillna(""), stored.fillna(""), check_dtype=False)
    assert "redo_read" in results._repr_html_()
    with pytest.raises(UserError, match="published board, which has no weights"):
        results.model(results.records.iloc[0])
    for command in ("status", "retry", "publish"):
        shown = cli(command, board, *(["other"] if command == "publish" else []))
        assert (shown.code, shown.err.count("\n")) == (2, 1)
        assert "is a published board" in shown.err


def test_the_note_names_plugins_data_seeds_and_later_evaluators(made, cli, tmp_path, monkeypatch):
    directory, plugin = made("redo_named")
    monkeypatch.setattr(export, "_draw", DRAW)
    assert cli("publish", directory, "my board", "--trust").code == 0
    board = tmp_path / "my board"
    assert (board / "redo_named.py").read_text() == Path(plugin).read_text()
    assert {"curves.csv", "evaluations.csv", "environment.json", "curves.svg"} <= {
        f.name for f in board.iterdir()
    }
    text = (board / "README.md").read_text()
    assert block(text) == [
        "lvmbench run suite.yaml --out 'my board' --plugin redo_named.py",
        "lvmbench evaluate 'my board' --evaluator 'tightness[repeats=5,samples=30]' --plugin redo_named.py",
        "lvmbench leaderboard 'my board'",
    ]
    digest = hashlib.sha256((tmp_path / "own.csv").read_bytes()).hexdigest()
    assert f"the file `own.csv` below this folder, which is not published here (sha256 {digest})" in text


def test_a_plugin_that_is_gone_or_was_changed_is_said(made, cli):
    directory, plugin = made("redo_gone")
    Path(plugin).write_text(Path(plugin).read_text() + "\n# changed\n")
    assert "was changed after these runs" in cli("publish", directory, "board", "--trust").err
    Path(plugin).unlink()
    assert "is gone; bring it back" in cli("publish", directory, "board", "--trust").err


def test_raw_files_are_named(directory, tmp_path):
    suite = (directory / "suite.yaml").read_text()
    (directory / "suite.yaml").write_text(suite.replace("[digits]", "[mnist]"))
    for name in ("records.csv", "measurements.csv"):
        table = pd.read_csv(directory / name)
        table.assign(dataset="mnist").to_csv(directory / name, index=False)
    publish(directory, tmp_path / "demo")
    text = (tmp_path / "demo" / "README.md").read_text()
    assert block(text)[0] == "lvmbench data fetch mnist"
    assert "`LVMBENCH_DATA` sets it" in text


@pytest.mark.slow
def test_the_lines_of_the_note_redo_the_board_in_a_clean_folder(made, cli, tmp_path):
    directory, _ = made("redo_again")
    assert cli("publish", directory, "board", "--trust").code == 0
    clean = shutil.copytree(tmp_path / "board", tmp_path / "clean")
    shutil.copy(tmp_path / "own.csv", clean)  # as the note asks for
    lines = block((clean / "README.md").read_text())
    script = f'set -e\nlvmbench() {{ {shlex.quote(sys.executable)} -m lvmbench "$@"; }}\n' + "\n".join(lines)
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=clean, env=path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    again, before = (lvmbench.load(folder).leaderboard() for folder in (clean / "board", tmp_path / "board"))
    timed = [name for name in before if "seconds" in name]
    assert_frame_equal(again.drop(columns=timed), before.drop(columns=timed))
