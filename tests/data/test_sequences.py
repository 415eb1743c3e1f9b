"""Sequences: steps up to the last at which anything was observed, of lengths that differ."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lvmbench import Data, Refusal, Split, lasting
from lvmbench.data import rules
from lvmbench.errors import DataError

NAN = math.nan
CODE = 9


def sequences(*lengths, steps=4, width=2):
    """Bits, of sequences of these lengths, as they are stored in a small type."""
    x = torch.arange(len(lengths) * steps * width).reshape(-1, steps, width) % 3 == 0
    late = torch.arange(steps) >= torch.tensor(lengths).unsqueeze(1)
    return Split(x.to(torch.uint8).masked_fill(late.unsqueeze(2), CODE), missing=CODE)


def data(**splits):
    lengths = {"train": (3, 1, 2), "validation": (4,), "test": (2, 3)}
    made = {name: splits.get(name, sequences(*of)) for name, of in lengths.items()}
    return Data(made, "binary", "none", sequence=True)


def test_a_sequence_lasts_to_the_last_step_at_which_anything_was_observed():
    x = torch.tensor([[[1, 1], [NAN, NAN], [NAN, 2], [NAN, NAN]], [[NAN, NAN], [1, 0], [NAN, NAN], [0, NAN]]])
    due = [[True, True, True, False], [True, True, True, True]]
    assert lasting(x).tolist() == due
    assert torch.vmap(lasting)(x.unsqueeze(0))[0].tolist() == due
    assert Split(x, missing=NAN).lengths.tolist() == [3, 4]


def test_lengths_are_found_a_few_data_at_a_time(monkeypatch):
    monkeypatch.setattr(rules, "VALUES", 17)
    lengths = [1, 4, 2, 3, 4, 1, 2]
    assert sequences(*lengths).lengths.tolist() == lengths


def test_what_is_no_gap_is_of_full_length():
    assert Split(torch.zeros(2, 5, 3)).lengths.tolist() == [5, 5]


def test_the_summary_is_of_all_steps_and_of_one():
    summary = data().summary
    x = data().splits["train"].values
    steps = x[lasting(x)]
    assert len(steps) == 6
    assert (summary.steps, summary.event_shape, summary.complete) == (4, (4, 2), False)
    torch.testing.assert_close(summary.mean[0], x[:, 0].mean(0))
    frame = summary.frame
    assert (frame.event_shape, frame.support, frame.levels, frame.steps) == ((2,), "binary", 2, 0)
    assert frame.complete
    torch.testing.assert_close(frame.mean, steps.mean(0))
    # no training sequence is as long as that of validation: there, what is known of all steps stands
    torch.testing.assert_close(summary.mean[3], frame.mean)


def test_a_copy_has_means_of_its_own():
    summary = data().summary
    copied = summary.copy()
    copied.mean.zero_()
    copied.frame.mean.zero_()
    assert summary.mean.any()
    assert summary.frame.mean.any()


def test_frames_with_holes_are_not_complete():
    held = sequences(3, 1, 2)
    held.x[0, 1, 0] = CODE
    holed = data(train=held)
    assert not holed.whole_frames
    assert not holed.summary.frame.complete
    assert data().whole_frames
    whole = data(**{n: sequences(4, 4) for n in ("train", "validation", "test")})
    assert whole.complete
    assert whole.summary.frame.complete


def test_a_datum_that_is_no_sequence_has_no_frame():
    with pytest.raises(Refusal, match=r"no sequences: a datum is one event, of shape \(4, 2\)"):
        _ = replace(data(train=sequences(4, 1)), sequence=False).summary.frame


def test_sequences_are_other_data_than_events_of_the_same_values():
    as_steps = data(train=sequences(4, 1))
    as_events = replace(as_steps, sequence=False)
    assert as_steps.capabilities == as_events.capabilities | {"sequence"}
    assert as_steps.checksum != as_events.checksum


def test_remarks_say_how_long_sequences_are_and_leave_their_ends_out():
    (length,) = data().remarks
    assert length == "sequences of 1 to 3 steps in train, 4 steps in validation, 2 to 3 steps in test"
    held = sequences(3, 1, 2)
    held.x[0, 1, 0] = CODE
    _, missing = data(train=held).remarks
    assert missing == "not all values were observed: missing are 8% of train, 0% of validation, 0% of test"


REFUSED = {
    "of length 0": (
        {"train": sequences(3, 0, 2)},
        r"sequence of length 0: nothing was observed of x\[1\] of 'train'; drop it",
    ),
    "of other steps": ({"test": sequences(2, steps=3)}, "the shapes of a datum differ: .*'test': \\(3, 2\\)"),
    "numbers for steps": (
        {n: Split(torch.zeros(2, 4)) for n in ("train", "validation", "test")},
        r"a sequence has shape \(4,\); it is steps of vectors or of more",
    ),
    "a value that cannot be": (
        {"train": Split(torch.tensor([[[0, 1], [0, 3]]]), missing=CODE)},
        r"x\[0, 1, 1\] of 'train' is 3; support",
    ),
    "a column without a value": (
        {"train": Split(torch.tensor([[[0, CODE], [1, CODE], [0, CODE], [0, CODE]]]), missing=CODE)},
        r"nothing was observed in column \[1\] of 'train'",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why):
    splits, message = REFUSED[why]
    if why == "a value that cannot be":
        splits = dict.fromkeys(("train", "validation", "test"), splits["train"])
    with pytest.raises(DataError, match=message):
        data(**splits)


def test_columns_are_those_of_a_step():
    named = replace(data(), columns=("left", "right"))
    assert named.columns == ("left", "right")
    with pytest.raises(DataError, match=r"1 columns are named, a step has shape \(2,\)"):
        replace(data(), columns=("left",))
    x = torch.zeros(2, 3, 2)
    x[1, 2, 1] = torch.inf
    with pytest.raises(DataError, match=r"x\[1, 2, 1\] of 'train' \(column 'right'\) is inf"):
        Data(
            dict.fromkeys(("train", "validation", "test"), Split(x)),
            *("real", "none"),
            columns=("left", "right"),
            sequence=True,
        )
