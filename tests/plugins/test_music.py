"""Polyphonic music: the layout on a made file, the data where they are present."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.io
import torch

from lvmbench import UserError, lasting
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.datasets._music import PITCHES, read_splits
from tests.plugins.pictures import need

STEPS = {
    "jsb_chorales": (13_807, 4_602, 4_725),
    "nottingham": (176_561, 45_513, 44_463),
    "musedata": (245_202, 82_755, 64_339),
    "piano_midi": (75_911, 8_540, 19_036),
}
SEQUENCES = {
    "jsb_chorales": (229, 76, 77),
    "nottingham": (694, 173, 170),
    "musedata": (524, 135, 124),
    "piano_midi": (87, 12, 25),
}
SHORTEST_AND_LONGEST = {
    "jsb_chorales": (25, 129),
    "nottingham": (40, 1788),
    "musedata": (9, 3457),
    "piano_midi": (111, 3857),
}
NOTES_PER_STEP = {"jsb_chorales": 3.90, "nottingham": 3.96, "musedata": 3.49, "piano_midi": 3.04}
CATALOGUE = load_catalogue()
LENGTHS = {"traindata": (3, 5), "validdata": (2,), "testdata": (7, 1)}


def made(path, **changes):
    """A file of that layout; an array given as None is left out."""
    rng = np.random.default_rng(0)
    rolls = {k: [rng.integers(0, 2, (t, 88), np.uint8) for t in steps] for k, steps in LENGTHS.items()}
    held = {k: v for k, v in {**rolls, **changes}.items() if v is not None}
    scipy.io.savemat(path, {k: cells(v) if isinstance(v, list) else v for k, v in held.items()})
    return rolls


def cells(arrays):
    held = np.empty((1, len(arrays)), object)
    for i, array in enumerate(arrays):
        held[0, i] = array
    return held


def test_rolls_of_different_lengths_are_kept_as_bytes(tmp_path):
    rolls = made(tmp_path / "made.mat")
    splits = read_splits(tmp_path / "made.mat")
    for name, part in {"train": "traindata", "validation": "validdata", "test": "testdata"}.items():
        split = splits[name]
        assert split.x.shape == (len(rolls[part]), 7, 88)
        assert split.x.dtype == torch.uint8
        assert split.lengths.tolist() == list(LENGTHS[part])
        for row, roll in zip(split.values, rolls[part], strict=True):
            assert torch.equal(row[: len(roll)], torch.from_numpy(roll).float())
            assert row[len(roll) :].isnan().all()


NO_ROLL = np.zeros((0, 88), np.uint8)
REFUSED = {
    "absent": ({"validdata": None}, "holds traindata of type object.*must hold cell arrays traindata, valid"),
    "numbers": ({"validdata": np.zeros((3, 88))}, "holds .*validdata of type float64.*must hold cell arrays"),
    "length 0": (
        {"testdata": [NO_ROLL]},
        r"cell 0 of 'testdata' is of type uint8 and shape \(0, 88\); it is rows of 88 numbers, at least one",
    ),
    "other notes": (
        {"testdata": [np.zeros((4, 88), np.uint8), np.zeros((4, 12), np.uint8)]},
        r"cell 1 of 'testdata' is of type uint8 and shape \(4, 12\)",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_another_layout_is_refused_with_its_place(tmp_path, why):
    changes, message = REFUSED[why]
    path = tmp_path / "made.mat"
    made(path, **changes)
    with pytest.raises(UserError, match=rf"raw file '{path}'.*{message}") as error:
        read_splits(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_file_that_is_cut_short_is_refused(tmp_path, keep):
    path = tmp_path / "made.mat"
    made(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(UserError, match=rf"raw file '{path}' is no MATLAB file that can be read") as error:
        read_splits(path)
    assert "\n" not in str(error.value)


def test_columns_are_the_notes_of_a_piano():
    assert (len(PITCHES), PITCHES[0], PITCHES[39], PITCHES[-1]) == (88, "A0", "C4", "C8")


@pytest.mark.parametrize(
    "name", ["jsb_chorales", *(pytest.param(n, marks=pytest.mark.slow) for n in list(STEPS)[1:])]
)
def test_the_published_sequences(name):
    need(CATALOGUE.entry("dataset", name).load())
    data = CATALOGUE.build("dataset", name).load()
    splits = data.splits.values()
    assert tuple(map(len, splits)) == SEQUENCES[name]
    assert tuple(int(split.lengths.sum()) for split in splits) == STEPS[name]
    ends = data.splits["train"].lengths.aminmax()
    assert (int(ends.min), int(ends.max)) == SHORTEST_AND_LONGEST[name]
    assert data.capabilities == {"unit", "binary", "levels", "sequence"}
    assert data.summary.frame.complete
    assert round(data.summary.frame.mean.sum().item(), 2) == NOTES_PER_STEP[name]


def test_what_independent_notes_give_the_chorales():
    """-11.06 nats per step of the test chorales, each note by its share of the training steps.

    A note that is silent in all of training has no share: half a count keeps its log finite.
    """
    need(CATALOGUE.entry("dataset", "jsb_chorales").load())
    splits = CATALOGUE.build("dataset", "jsb_chorales").load().splits
    train, test = (x[lasting(x)].double() for x in (splits["train"].values, splits["test"].values))
    share = (train.sum(0) + 0.5) / (len(train) + 1)
    log_p = (test @ share.log() + (1 - test) @ (1 - share).log()).mean().item()
    assert math.isclose(log_p, -11.06, abs_tol=0.005)
