"""Sequences in long format: a row for each step, in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import lvmbench
from lvmbench import UserError
from lvmbench_plugins.datasets.table import Table

LENGTHS = {"b": 5, "a": 2, "10": 3, "NA": 5, "c": 1, "d": 4, "e": 3, "f": 2, "g": 5, "h": 3}
ROLES = {"sequence": "patient", "step": "day"}


def long(first=0, lengths=LENGTHS):
    """Values that tell sequence and step."""
    rows = [
        (name, first + t, 100 * i + t + 0.5, -t)
        for i, (name, n) in enumerate(lengths.items())
        for t in range(n)
    ]
    return pd.DataFrame(rows, columns=["patient", "day", "pulse", "fever"])


def due(frame):
    return [part[["pulse", "fever"]].to_numpy().tolist() for _, part in frame.groupby("patient", sort=False)]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(frame, name="t.csv"):
    frame.to_csv(name, index=False) if name.endswith(".csv") else frame.to_parquet(name)
    return name


def load(frame, name="t.csv", **options):
    return Table(path=written(frame, name), **ROLES, **options).load()


def found(data):
    """All sequences of all splits, without what is after their ends."""
    return [
        row[:length].tolist()
        for split in data.splits.values()
        for row, length in zip(split.values, split.lengths, strict=True)
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("first", [0, 1, -3], ids="from {}".format)
def test_rows_in_any_order_are_sequences_of_steps(name, first):
    frame = long(first)
    data = load(frame.sample(frac=1, random_state=0), name)
    assert sorted(found(data)) == sorted(due(frame))
    assert data.splits["train"].x.shape == (7, 5, 2)
    assert data.capabilities == {"real", "sequence"}
    assert data.columns == ("pulse", "fever")
    assert data.whole_frames


def test_the_same_rows_in_another_order_are_the_same_sequences():
    frame = long()
    assert sorted(found(load(frame))) == sorted(found(load(frame.sample(frac=1, random_state=1))))


def test_sequences_of_one_length_are_complete():
    data = load(long(lengths=dict.fromkeys(LENGTHS, 3)))
    assert data.complete
    assert data.capabilities == {"real", "sequence", "complete"}


def test_columns_are_chosen_and_labels_are_of_sequences():
    frame = long()
    frame["kind"] = np.where(frame["patient"] < "c", "ill", "well")
    data = load(frame, columns="fever", label="kind", values="real")
    assert data.summary.frame.event_shape == (1,)
    kinds = frame.groupby("patient", sort=False)["kind"].first() == "well"
    held = torch.cat([split.labels for split in data.splits.values()])
    assert sorted(held.tolist()) == sorted(kinds.astype(int).tolist())


def test_whole_numbers_stay_bytes_with_a_code_after_the_end():
    frame = long()[["patient", "day"]].assign(count=lambda f: f["day"] * 3)
    data = load(frame)
    split = data.splits["train"]
    assert (split.x.dtype, split.missing, data.support) == (torch.uint8, 255, "count")
    assert load(frame.assign(count=lambda f: f["count"] + 250)).splits["train"].x.dtype == torch.float32


def test_steps_that_were_not_observed_are_holes():
    frame = long().astype({"pulse": float, "fever": float})
    frame.loc[1, ["pulse", "fever"]] = np.nan
    frame.loc[2, "fever"] = np.nan
    data = load(frame, missing="nan")
    assert not data.whole_frames
    (row,) = (row for row in found(data) if len(row) == 5 and row[0][0] == 0.5)
    assert np.isnan(row[1]).all()
    assert np.isnan(row[2]).tolist() == [False, True]


def test_standardised_by_the_steps_of_the_training_sequences():
    data = load(long(), standardize=True)
    steps = data.splits["train"].values.flatten(0, 1)
    torch.testing.assert_close(steps.nanmean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(steps.square().nanmean(0), torch.ones(2), atol=1e-5, rtol=0)


def row(frame, **changes):
    """One more row."""
    return pd.concat([frame, pd.DataFrame([{**frame.iloc[0].to_dict(), **changes}])], ignore_index=True)


FRAME = long()
BROKEN = {
    "a step missing": (
        FRAME.drop(index=2).reset_index(drop=True),
        {},
        "sequence 'b' goes from step 1 in row 2 to step 3 in row 3; number steps one by one, and give one",
    ),
    "a step twice": (
        row(FRAME, patient="a", day=1),
        {},
        "sequence 'a' has step 1 in row 7 and again in row 34; leave one of them out",
    ),
    "no whole step": (
        FRAME.astype({"day": float}).assign(day=lambda f: f["day"].where(f.index != 3, 2.5)),
        {},
        "step= names 'day', which holds '2.5' in row 4; steps are whole numbers",
    ),
    "a date for a step": (
        FRAME.assign(day="2020-01-01"),
        {},
        "step= names 'day', which holds '2020-01-01' in row 1; steps are whole numbers",
    ),
    "no step": (
        FRAME.assign(day=FRAME["day"].where(FRAME.index != 3)),
        {},
        "step= names 'day', which is empty in row 4; steps are whole numbers",
    ),
    "no sequence": (
        FRAME.assign(patient=FRAME["patient"].where(FRAME.index != 3)),
        {},
        "sequence= names 'patient', which is empty in row 4; fill it",
    ),
    "of length 0": (
        FRAME.assign(pulse=FRAME["pulse"].where(FRAME["patient"] != "a"), fever=np.nan),
        {"missing": "nan", "columns": "pulse"},
        "1 sequences have no value at all, the first is row 6; drop them",
    ),
    "a missing value": (
        FRAME.assign(pulse=FRAME["pulse"].where(FRAME.index != 3)),
        {},
        "column 'pulse' has 1 rows without a value, the first is row 4; say missing=nan",
    ),
    "labels within a sequence": (
        FRAME.assign(kind=np.where(FRAME.index == 3, "well", "ill")),
        {"label": "kind"},
        "label 'kind' differs within a sequence, in rows 1 and 4; a sequence has one label",
    ),
    "too few": (
        FRAME[FRAME["patient"] < "b"],
        {},
        "3 sequences make 2 for train, 0 for validation, 1 for test; each needs 1, so add sequences or",
    ),
    "step alone": (
        FRAME,
        {"sequence": None},
        "sequence= and step= go together; give both, or leave both out",
    ),
    "one column for both": (
        FRAME,
        {"step": "patient"},
        "step= names 'patient', which sequence= does too; leave it out of one",
    ),
    "no such column": (FRAME, {"step": "days"}, "has no column 'days'; did you mean 'day'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_sequences_are_refused_in_one_line(case):
    frame, options, message = BROKEN[case]
    with pytest.raises(UserError) as error:
        Table(path=written(frame), **{**ROLES, **options}).load()
    assert message in str(error.value), str(error.value)
    assert "\n" not in str(error.value)


def test_an_archive_has_no_such_columns():
    np.savez("t.npz", x=np.zeros((9, 2)))
    with pytest.raises(UserError, match=r"option 'sequence' is not for .npz files"):
        Table(path="t.npz", **ROLES).load()


def test_a_table_of_sequences_trains_by_its_name():
    frame = long(lengths={str(i): 2 + i % 4 for i in range(40)}).assign(pulse=lambda f: np.sin(f["pulse"]))
    named = f"table[path={written(frame)},sequence=patient,step=day,columns=pulse]"
    parts = {"prior": "linear_dynamics", "posterior": "filtering", "decoder": "gaussian[hidden=4]"}
    fitted = lvmbench.fit(data=named, objective="elbo", latent=2, epochs=1, **parts)
    assert fitted.curve["train_bound"].notna().all()
