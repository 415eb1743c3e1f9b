"""The profile of a run: which stages there are, how often each, in workers and out of them."""

import pandas as pd
import pytest
import torch

import lvmbench
from lvmbench.cli.shown import show_profile
from lvmbench.execution.profiling import COLUMNS, STAGES
from lvmbench.stages import clocked, stage
from lvmbench.training.graph import WARM, Replayed
from lvmbench.training.tape import Pool, Tape


def test_a_stage_has_its_own_time_and_not_that_of_stages_within(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("lvmbench.stages.time.perf_counter", lambda: float(next(now)))
    with clocked() as clock:
        with stage("outer"), stage("inner"):
            pass
        with stage("inner"):
            pass
    assert {name: (s.seconds, s.times) for name, s in clock.spent.items()} == {
        "outer": (2.0, 1),
        "inner": (2.0, 2),
    }


def test_without_a_clock_nothing_is_timed():
    with clocked() as clock:
        pass
    with stage("later"):
        pass
    assert not clock.spent


def test_a_stage_that_fails_has_ended():
    with clocked() as clock:
        with pytest.raises(ValueError, match="no"), stage("fails"):
            raise ValueError("no")
        with stage("next"):
            pass
    assert {name: s.times for name, s in clock.spent.items()} == {"fails": 1, "next": 1}


def test_stages_of_what_is_replayed_are_counted():
    def function(x):
        with stage("forward"):
            return x + 1

    replayed = Replayed(function, Tape(Pool()))
    with clocked() as clock:
        for _ in range(WARM + 5):
            replayed(torch.zeros(2))
    # the recorded call is done three times: twice to be recorded, and once as the first replay
    assert clock.spent["forward"].times == WARM + 5 + 2


def profile(tiny, jobs):
    lvmbench.run(tiny.write(), tiny.folder / "out", jobs=jobs, profile=True, progress=False)
    return pd.read_csv(tiny.folder / "out" / "profile.csv", keep_default_na=False)


def assert_whole(found, tiny):
    """The stages are those of tables; each run's steps and measurements are there."""
    assert [*found.columns] == COLUMNS
    assert {*found["stage"]} <= {*STAGES}
    assert (found["seconds"] >= 0).all()
    times = found.groupby(["work", "stage"])["times"].sum()
    records = pd.read_csv(tiny.folder / "out" / "records.csv")
    measured = pd.read_csv(tiny.folder / "out" / "evaluations.csv")
    assert times["evaluate", "evaluation"] == len(measured)
    assert times["train", "noise"] == times["train", "batch"] == times["train", "step"]
    assert times["train", "validation"] == records.drop_duplicates(["prior"])["trained_epochs"].sum()
    assert {"build", "load", "forward", "backward", "optimiser", "store"} <= {*times["train"].index}
    assert times["workers", "idle"] >= 1


def test_a_run_in_this_process_is_profiled(tiny, capsys):
    assert_whole(profile(tiny, 0), tiny)
    show_profile(tiny.folder / "out")
    assert "where the time went" in capsys.readouterr().out


def test_a_run_in_workers_is_profiled(tiny):
    found = profile(tiny, 1)
    assert_whole(found, tiny)
    assert "import" in {*found["stage"]}


def test_a_run_is_not_profiled_unless_asked(tiny):
    lvmbench.run(tiny.write(), tiny.folder / "out", jobs=0, progress=False)
    assert not (tiny.folder / "out" / "profile.csv").exists()
