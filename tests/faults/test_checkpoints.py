"""Trainings that end in the middle, in whatever way, go on from there, to the bit."""

import json
import random
import subprocess
import sys
import time

import pandas as pd
import pytest

from lvmbench.data.tensors import read_described, write_described
from lvmbench.training.checkpoint import Checkpoint
from tests.conftest import SUITE
from tests.execution.test_runner import TIMINGS

PLUGIN = """
import ctypes, os, time, torch, lvmbench
from lvmbench_plugins.priors.standard_normal import StandardNormal

class Mortal(StandardNormal):
    "A standard normal whose fourth epoch is the last of its process, once."
    refreshes = True
    def __init__(self, data, latent):
        super().__init__(data, latent)
        self.register_buffer("epochs", torch.zeros(()))
    def refresh(self, train, model):
        self.epochs.add_(1)
        PAUSE
        if self.epochs == 4 and not os.path.exists("MARK"):
            open("MARK", "w").close()
            END

@lvmbench.hookimpl
def lvmbench_register(register):
    register.prior("mortal", Mortal)
"""
WHAT = {"priors": ["mortal"], "budget": {**SUITE["budget"], "epochs": 6}}
EACH = {"checkpoint": 1e-9}
GOES_ON = "goes on after epoch 3 of 6, begun "


def plugin(tiny, name, end, pause=""):
    """A plugin, and the file whose presence keeps it from ending anything."""
    mark = tiny.folder / f"{name}.mark"
    text = PLUGIN.replace("MARK", str(mark)).replace("END", end).replace("PAUSE", pause)
    return tiny.plugin(name, text), mark


def assert_same(tiny, out="out", other="undisturbed"):
    """Two results directories hold the same weights and figures, to the bit."""
    for name in ("records", "measurements", "curves"):
        one, two = (tiny.frame(name, folder) for folder in (out, other))
        drop = [column for column in TIMINGS if column in one]
        pd.testing.assert_frame_equal(one.drop(columns=drop), two.drop(columns=drop), check_exact=True)
    assert len(tiny.frame("curves", out))


def left(tiny, out="out"):
    """The files of checkpoints that are left."""
    return sorted((tiny.folder / out / "checkpoints").rglob("*.*"))


def undisturbed(tiny, loaded, mark, **changes):
    mark.touch()
    summary = tiny.run("undisturbed", plugins=[loaded], **{**WHAT, **changes})
    assert summary.counts == {"ok": 2}


def told(tiny):
    return [text for text in tiny.reporter.said if "epoch" in text]


def test_a_worker_that_is_killed_in_the_middle_costs_an_epoch(tiny):
    """The pack is tried again as a whole, and goes on."""
    loaded, mark = plugin(tiny, "killed_once", "os.kill(os.getpid(), 9)")
    summary = tiny.run(plugins=[loaded], jobs=1, options={**EACH, "keep": False}, **WHAT)
    assert summary.counts == {"ok": 2}
    (said,) = told(tiny)
    assert said.startswith(f"{tiny.reporter.finished[0][0]}: {GOES_ON}")
    undisturbed(tiny, loaded, mark)
    assert_same(tiny)
    assert [file.parent.name for file in left(tiny)] == ["kept"]


def test_an_interrupted_training_goes_on_with_the_same_command(tiny):
    loaded, mark = plugin(tiny, "interrupted_once", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        tiny.run(plugins=[loaded], options=EACH, **WHAT)
    assert len(left(tiny)) == 1
    assert tiny.run(plugins=[loaded], **WHAT).counts == {"ok": 2}
    (said,) = told(tiny)
    assert GOES_ON in said
    started = tiny.frame()["started"].unique()
    assert said.endswith(f"begun {started[0]}")
    undisturbed(tiny, loaded, mark)
    assert_same(tiny)
    assert left(tiny) == []


def test_seeds_that_are_tried_one_by_one_go_on_from_their_pack(tiny):
    loaded, _ = plugin(tiny, "full_once", "raise MemoryError")
    assert tiny.run(plugins=[loaded], options=EACH, **WHAT).counts == {"ok": 2}
    assert [GOES_ON in said for said in told(tiny)] == [True, True]
    assert tiny.frame()["pack"].tolist() == [1, 1]
    assert {file.parent.name for file in left(tiny)} == {"kept"}


def test_what_ended_badly_goes_on_when_it_is_retried(tiny, cli):
    loaded, mark = plugin(tiny, "failed_twice", "raise ValueError('no')")
    one = {"seeds": [0], "priors": ["mortal"], "budget": WHAT["budget"]}
    assert tiny.run(plugins=[loaded], options=EACH, **one).counts == {"failed": 1}
    shown = cli("retry", tiny.folder / "out", "--jobs", 0, "--plugin", loaded)
    assert (shown.code, GOES_ON in shown.out) == (0, True)
    mark.touch()
    tiny.run("undisturbed", plugins=[loaded], **one)
    assert_same(tiny)


def test_a_suite_with_more_epochs_goes_on_from_where_it_ended(tiny):
    more = {**SUITE["budget"], "epochs": 5}
    tiny.run(options={"keep": True})
    tiny.run(budget=more)
    assert [text.partition(": ")[2][:28] for text in told(tiny)] == ["goes on after epoch 3 of 5, "] * 2
    tiny.run("undisturbed", budget=more)
    frames = [tiny.frame("records", out) for out in ("out", "undisturbed")]
    longer = [f[f["epochs"] == 5].set_index(["prior", "seed"])["weights_sha256"] for f in frames]
    pd.testing.assert_series_equal(*longer)


def test_a_checkpoint_of_other_versions_is_a_user_error_and_stays(tiny, cli):
    loaded, _ = plugin(tiny, "older", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        tiny.run(plugins=[loaded], options=EACH, **WHAT)
    (file,) = left(tiny)
    text, tensors = read_described(file)
    facts = json.loads(text)
    write_described(tensors, json.dumps({**facts, "made": {**facts["made"], "torch": "1.0"}}), file)
    before = file.read_bytes()
    command = ("run", tiny.write(**WHAT), "--out", tiny.folder / "out", "--plugin", loaded)
    shown = cli(*command)
    assert shown.code == 2
    assert f"the checkpoint '{file}' was made with torch 1.0, not {facts['made']['torch']}" in shown.err
    assert shown.err.strip().endswith("; go on with those, or delete it to train anew")
    assert file.read_bytes() == before
    file.unlink()
    assert cli(*command).code == 0
    assert set(tiny.frame()["status"]) == {"ok"}


def test_a_damaged_checkpoint_costs_the_training_and_no_more(tiny):
    loaded, mark = plugin(tiny, "damaged", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        tiny.run(plugins=[loaded], options=EACH, **WHAT)
    (file,) = left(tiny)
    file.write_bytes(file.read_bytes()[:1000])
    assert tiny.run(plugins=[loaded], **WHAT).counts == {"ok": 2}
    (said,) = [text for text in tiny.reporter.said if "checkpoint" in text]
    assert f"the checkpoint '{file}' is no safetensors file" in said
    undisturbed(tiny, loaded, mark)
    assert_same(tiny)
    assert left(tiny) == []


class Commands:
    """Runs of the command line, each in a process of its own."""

    def __init__(self, tiny, loaded, **what):
        tiny.write(**what)
        self.tiny, self.loaded, self.said = tiny, loaded, ""

    def start(self):
        command = [sys.executable, "-m", "lvmbench", "run", "tiny.yaml", "--out", "out", "--jobs", "1"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        options = ["--plugin", self.loaded, "--checkpoint", "0.001", "--no-baselines"]
        return subprocess.Popen([*command, *options], cwd=self.tiny.folder, **streams)

    def after(self, epoch, process):
        """Wait until so many epochs are saved."""
        folder = self.tiny.folder / "out" / "checkpoints"
        while not any(Checkpoint.glance(file).epoch >= epoch for file in folder.glob("*.safetensors")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)

    def end(self, process):
        """Wait for the end of a process, and keep what it said; its exit code."""
        said = process.communicate(timeout=500)[0]
        assert "Traceback" not in said, said
        self.said += said
        return process.returncode


LONG = {"priors": ["mortal"], "budget": {**SUITE["budget"], "epochs": 60}}


@pytest.mark.slow
def test_a_training_that_is_killed_after_random_epochs_gives_the_weights_of_an_undisturbed_one(tiny):
    loaded, mark = plugin(tiny, "slowly", "pass", pause="time.sleep(0.05)")
    undisturbed(tiny, loaded, mark, **LONG)
    commands = Commands(tiny, loaded, **LONG)
    # some epochs apart, as one or two are trained until the signal arrives
    for epoch in sorted(random.Random(0).sample(range(1, 50, 6), 4)):
        process = commands.start()
        commands.after(epoch, process)
        process.kill()
        commands.end(process)
    assert commands.end(commands.start()) == 0
    assert commands.said.count("goes on after epoch ") == 4
    assert_same(tiny)


@pytest.mark.slow
def test_another_process_takes_over_where_the_first_was_killed(tiny):
    loaded, mark = plugin(tiny, "taken_over", "pass", pause="time.sleep(0.05)")
    undisturbed(tiny, loaded, mark, **LONG)
    commands = Commands(tiny, loaded, **LONG)
    one = commands.start()
    commands.after(2, one)
    other = commands.start()
    commands.after(20, one)
    one.kill()
    commands.end(one)
    assert commands.end(other) == 0
    assert commands.said.count("goes on after epoch ") == 1
    assert_same(tiny)
