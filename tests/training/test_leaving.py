"""Runs that have stopped leave their pack; the others give what they would have given beside them."""

import math
from itertools import zip_longest

import pytest

from lvmbench.combinations.optimizers import OPTIMIZERS
from lvmbench.combinations.schedules import SCHEDULES
from lvmbench.training.graph import as_written
from lvmbench.training.loop import REPAID, Training
from lvmbench.training.tape import Tape
from tests.training.test_packs import CPU, DATA, METHODS, RATES, both_ways, budget, built
from tests.training.test_training import assert_alike

SEEDS = (0, 1, 2, 3, 4)
LAST = {1: 1, 3: 2, 4: 2}
"""The epoch after which a run of this seed stops."""
HOW = [*zip_longest(["sgd[momentum=0.9]", *OPTIMIZERS], SCHEDULES, fillvalue="constant")]


class Ending(Training):
    """A training whose runs stop after epochs that are given; each epoch is of three steps."""

    def has_stopped(self, result, epoch):
        return epoch >= LAST.get(result.seed, math.inf)


def begun(parts=None, seeds=SEEDS, *, vectorized=True, **options):
    runs = [built(parts or {}, seed) for seed in seeds]
    how = options.pop("how", budget(epochs=5))
    return Ending(runs, seeds, DATA, how, CPU, vectorized, **options)


def ended(monkeypatch, worth, *what, **options):
    """The results of a training whose runs leave where that saves so many steps, and how many there were in
    each epoch.
    """
    monkeypatch.setattr("lvmbench.training.loop.REPAID", worth)
    training, sizes = begun(*what, **options), []
    return training.run(lambda epoch: sizes.append(len(training.packed))), sizes


def assert_leaving_changes_nothing(monkeypatch, *what, **options):
    """But the last digits: of a pack of other size other numbers are the last of a vector."""
    left, sizes = ended(monkeypatch, 0, *what, **options)
    stayed, whole = ended(monkeypatch, math.inf, *what, **options)
    assert (sizes, whole) == ([5, 4, 2, 2, 2], [5] * 5)
    assert [result.epochs for result in left] == [LAST.get(seed, 5) for seed in SEEDS]
    for one, other in zip(left, stayed, strict=True):
        assert_alike(one, other)


@both_ways
@pytest.mark.parametrize("parts", [{}, METHODS["rebar"], METHODS["vamp"]], ids=["gaussian", "rebar", "vamp"])
def test_the_others_give_what_they_give_beside_them(monkeypatch, parts, vectorized):
    assert_leaving_changes_nothing(monkeypatch, parts, vectorized=vectorized)


@pytest.mark.parametrize(("optimizer", "schedule"), HOW)
def test_what_an_optimiser_and_a_schedule_keep_is_kept(monkeypatch, optimizer, schedule):
    rate = 1e-3 if optimizer.startswith("sgd") else 1e-2
    how = budget(epochs=5, optimizer=optimizer, schedule=schedule, learning_rate=rate, clip=1.0)
    assert_leaving_changes_nothing(monkeypatch, how=how)


@pytest.mark.parametrize("schedule", ["step[every=1]", "plateau[patience=0]"])
def test_each_keeps_its_own_learning_rate(monkeypatch, schedule):
    """Also where rates become neighbours that one optimiser serves: those of the seeds 0 and 2."""
    how, rates = budget(epochs=5, schedule=schedule), [RATES[seed % 2] for seed in SEEDS]
    assert_leaving_changes_nothing(monkeypatch, how=how, rates=rates)


def test_steps_are_recorded_anew(monkeypatch):
    monkeypatch.setattr("lvmbench.training.graph.WARM_ON_CPU", 1)
    monkeypatch.setattr("lvmbench.training.loop.WARM", 1)
    replayed, replay = [], Tape.replay
    monkeypatch.setattr(Tape, "replay", lambda tape: replayed.append(tape) or replay(tape))
    recorded, _ = ended(monkeypatch, 0)
    assert len({*replayed}) == 4, "steps of 5, 4 and 2 runs, and validation of 2: of more there is one each"
    written, _ = ended(monkeypatch, 0, wrap=as_written)
    assert [result.curve for result in recorded] == [result.curve for result in written]


@pytest.mark.parametrize(("vectorized", "fewest"), [(True, 2), (False, 1)])
def test_one_alone_is_not_computed_in_another_way(monkeypatch, vectorized, fewest):
    """Of a single row torch takes products in another order."""
    _, sizes = ended(monkeypatch, 0, seeds=(1, 0, 3), vectorized=vectorized)
    assert sizes == [3, 2, *[fewest] * 3]


def test_a_run_that_has_stopped_stays_as_long_as_recording_anew_costs_more():
    """A rule of counts. Here a run is a fifth of the pack, and an epoch has three steps."""
    training = begun()
    training.epoch = ends = 7
    for result in training.results:
        result.epochs = ends
    worth_it = REPAID * 5 // 3
    for training.epoch in range(ends, ends + worth_it + 2):
        for run in (0, 2, 3, 4):
            training.results[run].epochs = training.epoch
        training._leave({0, 2, 3, 4})
        if len(training.packed) < 5:
            break
    assert training.epoch + 1 - ends == worth_it
    assert training.packed == [0, 2, 3, 4]


def test_where_nothing_is_recorded_they_leave_at_once():
    training, sizes = begun(wrap=as_written), []
    training.run(lambda epoch: sizes.append(len(training.packed)))
    assert sizes == [5, 4, 2, 2, 2]


def test_a_run_takes_its_share_of_the_epochs_that_it_trained_in(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("lvmbench.training.loop.time.perf_counter", lambda: float(next(clock)))
    results, _ = ended(monkeypatch, 0)
    of_epoch = [1 / 5, 1 / 4, 1 / 2, 1 / 2, 1 / 2]
    assert [r.seconds for r in results] == pytest.approx([sum(of_epoch[: r.epochs]) for r in results])
