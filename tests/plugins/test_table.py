"""A user's own table: what is read from each format, and one line for each way a file can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lvmbench
from lvmbench import Refusal, UserError
from lvmbench_plugins.datasets.table import Table

ROWS = 20
FRAME = pd.DataFrame(
    {
        "width": np.linspace(-1, 2, ROWS),
        "height": np.arange(ROWS) ** 2,
        "long name": np.linspace(5, 6, ROWS),
        "kind": ["rose", "lily"] * (ROWS // 2),
    }
)
NUMBERS = FRAME[["width", "height"]]
PARTS = {
    "prior": "standard_normal",
    "posterior": "gaussian[hidden=4]",
    "objective": "elbo",
    "latent": 2,
    "epochs": 1,
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def csv(content: pd.DataFrame | str, name: str = "t.csv") -> str:
    Path(name).write_text(content if isinstance(content, str) else content.to_csv(index=False))
    return name


def npz(**arrays: Any) -> str:
    np.savez("t.npz", **arrays)
    return "t.npz"


def cut(name: str, size: int) -> str:
    Path(name).write_bytes(Path(name).read_bytes()[:size])
    return name


def rows(data) -> list[list[float]]:
    """All rows of all splits, in order."""
    return sorted(torch.cat([split.x.flatten(1) for split in data.splits.values()]).tolist())


def expected(values: pd.DataFrame) -> list[list[float]]:
    return sorted(values.to_numpy(np.float32).tolist())


def refusal(**options: Any) -> str:
    with pytest.raises(UserError) as error:
        Table(**options).load()
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"table '{options['path']}'")
    return message


def test_a_csv_is_split_into_all_of_its_rows():
    data = Table(path=csv(NUMBERS)).load()
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 14,
        "validation": 2,
        "test": 4,
    }
    assert rows(data) == expected(NUMBERS)
    assert data.splits["train"].x.dtype == torch.float32
    assert data.capabilities == {"real", "complete"}


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("height", ["height"]),
        ("width height", ["width", "height"]),
        ("height;long name", ["height", "long name"]),
        ("long name;", ["long name"]),
    ],
)
def test_columns_are_chosen_in_their_order(columns, names):
    assert rows(Table(path=csv(FRAME), columns=columns).load()) == expected(FRAME[names])


@pytest.mark.parametrize("kinds", [["rose", "lily"], [7, 3], [True, False]])
def test_labels_are_codes_in_the_order_of_their_values_and_stay_with_their_rows(kinds):
    data = Table(path=csv(FRAME.assign(kind=kinds * (ROWS // 2))), label="kind").load()
    for split in data.splits.values():
        assert split.labels.dtype == torch.int64
        even = split.x[:, 1].sqrt().round() % 2 == 0  # rows in the file's order alternate between the kinds
        assert torch.equal(split.labels, even.long())
    assert "labels" in data.capabilities


def test_support_follows_the_values():
    bits = pd.DataFrame(np.arange(3 * ROWS).reshape(ROWS, 3) % 2, columns=["a", "b", "c"])
    binary, unit = Table(path=csv(bits)).load(), Table(path=csv(bits / 2)).load()
    assert (binary.support, binary.splits["test"].x.dtype) == ("binary", torch.uint8)
    assert binary.capabilities == {"binary", "unit", "complete", "levels"}
    assert rows(binary) == expected(bits)
    assert unit.capabilities == {"unit", "real", "complete"}


THIRDS = pd.DataFrame({"a": np.arange(ROWS) % 3, "b": np.arange(ROWS)[::-1] % 4})
HOLES = {(3, 0), (5, 1), (0, 1)}


def with_holes(frame: pd.DataFrame, mark: Any) -> pd.DataFrame:
    frame = frame.astype(object)
    for row, column in HOLES:
        frame.iloc[row, column] = mark
    return frame


def parquet(frame: pd.DataFrame, kind: type) -> str:
    frame.astype(kind).to_parquet("t.parquet")
    return "t.parquet"


@pytest.mark.parametrize(
    ("write", "mark", "missing"),
    [
        (lambda frame, kind: csv(frame), "", "nan"),
        (lambda frame, kind: csv(frame), "?", "?"),
        (lambda frame, kind: csv(frame), "no one", "NA;no one"),
        (lambda frame, kind: csv(frame), -99, -99),
        (lambda frame, kind: csv(frame), -99.5, -99.5),
        (parquet, -77, -77),
        (lambda frame, kind: parquet(frame, float), np.nan, "nan"),
        (lambda frame, kind: npz(x=frame.to_numpy(kind)), -1, "nan -1"),
        (lambda frame, kind: npz(x=frame.to_numpy(float)), np.nan, "nan"),
    ],
)
@pytest.mark.parametrize("frame", [THIRDS, THIRDS / 7 + 0.1], ids=["count", "real"])
def test_what_is_said_to_be_missing_was_not_observed(write, mark, missing, frame):
    whole = frame is THIRDS
    data = Table(path=write(with_holes(frame, mark), int if whole else float), missing=missing).load()
    train = data.splits["train"]
    values = torch.cat([split.values for split in data.splits.values()])
    due = torch.tensor(with_holes(frame, np.nan).to_numpy(np.float32))
    assert sorted(map(str, values.tolist())) == sorted(map(str, due.tolist()))
    assert "complete" not in data.capabilities
    assert data.support == ("count" if whole else "unit")
    assert (train.x.dtype, str(train.missing)) == (torch.uint8, "255") if whole else (torch.float32, "nan")


def test_columns_with_holes_are_standardised_by_what_was_observed():
    data = Table(path=csv(with_holes(NUMBERS, "")), missing="nan", standardize=True).load()
    train = data.splits["train"].values.double()
    np.testing.assert_allclose(train.nanmean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.square().nanmean(0), 1, atol=1e-6)


def test_a_table_that_could_miss_something_and_does_not_is_complete():
    data, plain = (Table(path=csv(NUMBERS), **options).load() for options in ({"missing": "nan"}, {}))
    assert data.checksum == plain.checksum
    assert data.complete


def test_a_table_with_holes_trains_by_its_name():
    path = csv(with_holes(NUMBERS, "?"))
    fitted = lvmbench.fit(data=f"table[path={path},missing=?]", decoder="gaussian[hidden=4]", **PARTS)
    assert not fitted.model.complete
    assert fitted.curve["train_bound"].notna().all()


def test_true_and_false_are_binary():
    frame = pd.DataFrame({"a": [True, False] * 10, "b": [False] * 20})
    assert Table(path=csv(frame)).load().support == "binary"


def test_an_archive_holds_arrays_of_any_shape():
    images = np.random.default_rng(0).random((ROWS, 1, 4, 4))
    kinds = np.array(["rose", "lily"] * 10)
    data = Table(
        path=npz(images=images, kinds=kinds, notes=np.array([{}], object)), array="images", label="kinds"
    ).load()
    assert rows(data) == sorted(images.reshape(ROWS, -1).astype(np.float32).tolist())
    assert data.splits["test"].x.shape == (4, 1, 4, 4)
    assert data.capabilities == {"unit", "real", "complete", "labels", "image"}


def test_the_array_is_x_or_the_only_wide_one():
    wide, other = NUMBERS.to_numpy(), np.zeros((3, 3))
    assert rows(Table(path=npz(x=wide, y=other)).load()) == expected(NUMBERS)
    assert rows(Table(path=npz(values=wide, y=other[0])).load()) == expected(NUMBERS)
    assert rows(Table(path=npz(values=wide, y=other[:, :1].repeat(1, 1)), array="values").load()) == expected(
        NUMBERS
    )


def test_a_parquet_file_reads_as_its_csv_does():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    FRAME.to_parquet("t.parquet")
    ours, theirs = (Table(path=path, label="kind").load() for path in ("t.parquet", csv(FRAME)))
    assert ours.checksum == theirs.checksum


def test_standardised_by_the_training_rows():
    frame = NUMBERS * 1e3 + 1e8  # single precision would lose these
    train = Table(path=csv(frame), standardize=True).load().splits["train"].x.double()
    torch.testing.assert_close(train.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        train.std(0, correction=0), torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_names_that_count_from_zero_are_names():
    frame = NUMBERS.set_axis(range(2), axis=1)
    assert rows(Table(path=csv(frame)).load()) == expected(frame)


def test_the_same_at_every_load_and_another_shuffle_with_another_seed():
    path = csv(NUMBERS)
    first, again, other = (Table(path=path, seed=seed).load() for seed in (0, 0, 1))
    assert first.checksum == again.checksum != other.checksum
    assert rows(first) == rows(other)


def test_the_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    csv(NUMBERS)
    assert len(Table(path="~/t.csv").load().splits["train"]) == 14


YEARS = "2001,2002,2003\n" + "".join(f"{i / 7:.3f},{i / 3:.3f},{i % 2}.5\n" for i in range(ROWS))
SEMICOLONS = FRAME.to_csv(index=False, sep=";", decimal=",")
TWICE = FRAME.set_axis(["width", "height", "kind", "kind"], axis=1)


def with_cell(column: str, value: Any) -> pd.DataFrame:
    frame = FRAME.astype({"height": float, "kind": object})
    frame.loc[[3, 5], column] = value
    return frame


BROKEN: dict[str, tuple[Callable[[], str], dict[str, Any], list[str]]] = {
    "missing": (lambda: "none.csv", {}, ["no such file", "path="]),
    "folder": (lambda: Path("d.csv").mkdir() or "d.csv", {}, ["no such file"]),
    "suffix": (lambda: csv(NUMBERS, "t.xlsx"), {}, ["'.xlsx'", ".csv, .parquet or .npz"]),
    "no suffix": (lambda: csv(NUMBERS, "t"), {}, ["suffix ''"]),
    "empty file": (lambda: csv(""), {}, ["cannot be read", "EmptyDataError"]),
    "only a header": (lambda: csv("a,b\n"), {}, ["empty", "0 by 2"]),
    "only labels": (lambda: csv(FRAME[["kind"]]), {"label": "kind"}, ["empty", "20 by 0"]),
    "no columns": (lambda: csv(FRAME), {"columns": " "}, ["empty", "20 by 0"]),
    "no header": (
        lambda: csv("1.5,2\n3,4\n"),
        {},
        ["row of numbers (1.5, ...)", "header=true", "header=false"],
    ),
    "years as header": (lambda: csv(YEARS), {}, ["row of numbers (2001, ...)", "header=true"]),
    "no header, with text": (lambda: csv("5.1,3.5,rose\n4.9,3.0,lily\n"), {"label": "rose"}, ["(5.1, ...)"]),
    "semicolons": (
        lambda: csv(SEMICOLONS),
        {},
        ["4 cells by semicolon and 1 by comma", "separator=semicolon"],
    ),
    "tabs": (lambda: csv(FRAME.to_csv(index=False, sep="\t")), {}, ["by tab", "separator=tab"]),
    "decimal commas": (
        lambda: csv(SEMICOLONS),
        {"separator": "semicolon", "label": "kind"},
        ["column 'width' is not numeric, row 1 holds '-1,0'", "say decimal=comma if"],
    ),
    "two of a name": (lambda: csv(TWICE), {"label": "kind"}, ["more than one column 'kind'"]),
    "two of a name after spaces": (lambda: csv("a, a\n" + "1,2\n" * 20), {}, ["more than one column 'a'"]),
    "label as value": (
        lambda: csv(FRAME.assign(kind=1)),
        {"columns": "width kind", "label": "kind"},
        ["label= names 'kind', which columns= does too; leave it out of one"],
    ),
    "label array as values": (
        lambda: npz(x=NUMBERS),
        {"array": "x", "label": "x"},
        ["array 'x' is both values and label="],
    ),
    "a text for missing": (
        lambda: csv(FRAME.replace({"rose": "NA"})),
        {"label": "kind", "columns": "width", "unlabelled": "NA ?"},
        ["label 'kind' has 10 rows without a value, the first is row 1"],
    ),
    "one constant column": (
        lambda: csv(NUMBERS.assign(site=7.0)),
        {},
        ["column 'site' is 7 in every row", "leave it out, or say values=real"],
    ),
    "far from zero": (
        lambda: csv(NUMBERS.assign(time=1.7e9 + NUMBERS["width"])),
        {},
        ["column 'time' is too far from 0", "standardize=true"],
    ),
    "codes scaled": (
        lambda: csv("a,b\n" + "1,2\n2,1\n" * 10),
        {"standardize": True},
        ["only whole numbers", "standardize= would undo", "values=real"],
    ),
    "not binary": (
        lambda: csv(NUMBERS.abs()),
        {"values": "binary"},
        ["column 'width' holds 0.842105 in row 2", "values=binary each is 0 or 1"],
    ),
    "not counts": (lambda: csv(NUMBERS), {"values": "count"}, ["'width' holds -1 in row 1", "whole number"]),
    "whole seconds": (
        lambda: csv(pd.DataFrame({"t": 1_700_000_000 + np.arange(ROWS)})),
        {},
        ["column 't' is too far from 0", "standardize=true"],
    ),
    "channels last": (
        lambda: npz(x=np.zeros((9, 12, 10, 3), np.uint8)),
        {},
        ["(9, 12, 10, 3)", "layout=hwc", "layout=chw"],
    ),
    "layout of rows": (lambda: npz(x=NUMBERS), {"layout": "hwc"}, ["layout= is for images"]),
    "layout of csv": (lambda: csv(NUMBERS), {"layout": "hwc"}, ["'layout' is not for .csv", "separator="]),
    "header of npz": (lambda: npz(x=NUMBERS), {"header": True}, ["'header' is not for .npz", "array="]),
    "longer row": (lambda: csv("a,b\n1,2\n1,2,3\n"), {}, ["cannot be read", "line 3, saw 3"]),
    "longer rows": (lambda: csv("a,b\n" + "1,2,3\n" * 20), {}, ["cannot be read", "line 2, saw 3"]),
    "row numbers unnamed": (lambda: csv("a,b\n0,2,3\n1,4,5\n"), {}, ["cannot be read", "line 2, saw 3"]),
    "shorter rows": (lambda: csv("a,b\n1,2\n1\n"), {}, ["column 'b' has 1 rows", "row 2"]),
    "not text": (
        lambda: Path("t.csv").write_bytes(b"a,b\n\xff\xfe,2\n") and "t.csv",
        {},
        ["UnicodeDecodeError"],
    ),
    "row numbers": (lambda: csv(NUMBERS.to_csv()), {}, ["without a name", "columns="]),
    "nan": (lambda: csv(with_cell("width", np.nan)), {"columns": "width"}, ["'width' has 2 rows", "row 4"]),
    "nothing in a row": (
        lambda: csv("a,b\n" + "1,2.5\n,\n" * 10),
        {"missing": "nan"},
        ["10 rows have no value at all, the first is row 2", "drop them"],
    ),
    "nothing in a column": (
        lambda: csv("a,b\n" + "1,\n2.5,\n" * 10),
        {"missing": "nan"},
        ["column 'b' has no value at all", "leave it out"],
    ),
    "infinite beside missing": (
        lambda: csv("a,b\n" + "1,inf\n2.5,\n" * 10),
        {"missing": "nan"},
        ["column 'b' has 10 rows that are infinite"],
    ),
    "a code that is not said": (
        lambda: csv(with_holes(NUMBERS, "?")),
        {"missing": "nan"},
        ["column 'width' is not numeric, row 4 holds '?'", "say missing=? if that was not observed"],
    ),
    "infinite": (
        lambda: csv(with_cell("height", np.inf)),
        {"label": "kind"},
        ["'height' has 2 rows", "row 4"],
    ),
    "too large": (lambda: csv(with_cell("height", 1e300)), {"label": "kind"}, ["'height' has 2 rows"]),
    "text": (lambda: csv(FRAME), {}, ["'kind' is not numeric", "row 1 holds 'rose'", "columns=", "label="]),
    "one text": (lambda: csv(with_cell("kind", 1).replace({"rose": 2})), {}, ["row 2 holds 'lily'"]),
    "column": (lambda: csv(FRAME), {"columns": "widht"}, ["no column 'widht'", "did you mean 'width'"]),
    "spaces": (lambda: csv(FRAME), {"columns": "width long name"}, ["no column 'long'", "';'"]),
    "label": (lambda: csv(FRAME), {"label": "kid"}, ["no column 'kid'", "did you mean 'kind'"]),
    "no label": (
        lambda: csv(with_cell("kind", None)),
        {"label": "kind"},
        ["label 'kind' has 2 rows without"],
    ),
    "fractions": (
        lambda: csv(FRAME),
        {"columns": "height", "label": "width"},
        ["label 'width' holds fractions"],
    ),
    "few rows": (lambda: csv(NUMBERS[:4]), {}, ["4 rows make", "0 for validation", "add rows"]),
    "no test": (lambda: csv(NUMBERS), {"test": 0.0}, ["0 for test", "test="]),
    "no training": (lambda: csv(NUMBERS), {"validation": 0.5, "test": 0.5}, ["0 for train"]),
    "constant": (lambda: csv(NUMBERS * 0 + 3), {}, ["constant", "20 rows"]),
    "no scale": (
        lambda: csv(NUMBERS.assign(c=7)),
        {"standardize": True},
        ["1 columns are constant", "the first is column 'c'", "standardize="],
    ),
    "bits scaled": (
        lambda: csv("a\n" + "0\n1\n" * 10),
        {"standardize": True},
        ["only 0 and 1", "standardize="],
    ),
    "array of csv": (lambda: csv(NUMBERS), {"array": "x"}, ["'array' is not for .csv", "columns="]),
    "columns of npz": (lambda: npz(x=NUMBERS), {"columns": "a"}, ["'columns' is not for .npz", "array="]),
    "not a zip": (lambda: csv(NUMBERS, "t.npz"), {}, ["not an .npz archive"]),
    "cut zip": (lambda: cut(npz(x=NUMBERS), 300), {}, ["not an .npz archive", "cut short"]),
    "no array": (
        lambda: npz(values=NUMBERS),
        {"array": "value"},
        ["no array 'value'", "did you mean 'values'"],
    ),
    "no label array": (lambda: npz(x=NUMBERS), {"label": "y"}, ["no array 'y'"]),
    "two arrays": (lambda: npz(a=NUMBERS, b=NUMBERS), {}, ["2 arrays", "a, b", "array="]),
    "no arrays": (lambda: npz(a=np.zeros(3)), {}, ["0 arrays", "it holds a"]),
    "objects": (lambda: npz(x=FRAME.to_numpy(object)), {}, ["'x' holds Python objects"]),
    "flat": (lambda: npz(x=np.zeros(9)), {}, ["shape (9,)", "rows by columns"]),
    "complex": (lambda: npz(x=np.zeros((9, 2), complex)), {}, ["type complex128", "real numbers"]),
    "nan in array": (lambda: npz(x=np.full((9, 2, 2), np.nan)), {}, ["column '0,0' has 9 rows"]),
    "empty array": (lambda: npz(x=np.zeros((9, 0))), {}, ["empty", "9 by 0"]),
    "label count": (lambda: npz(x=NUMBERS, y=np.zeros(3)), {"label": "y"}, ["shape (3,) for 20 rows"]),
    "scalar label": (lambda: npz(x=NUMBERS, y=3), {"label": "y"}, ["shape () for 20 rows"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_table_is_refused_in_one_line(case):
    make, options, parts = BROKEN[case]
    message = refusal(path=make(), **options)
    assert [part for part in parts if part not in message] == [], message


def test_a_damaged_archive_is_refused():
    content = bytearray(Path(npz(x=NUMBERS)).read_bytes())
    content[200] ^= 255  # inside the array: the archive's own checksum finds it
    Path("t.npz").write_bytes(content)
    assert "cannot be read (BadZipFile" in refusal(path="t.npz")


def test_a_truncated_parquet_file_is_refused():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    FRAME.to_parquet("t.parquet")
    assert "cannot be read (ArrowInvalid" in refusal(path=cut("t.parquet", 500))


def test_lists_in_a_parquet_column_are_not_numeric():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pd.DataFrame({"a": [[1, 2]] * ROWS}).to_parquet("t.parquet")
    assert "'a' is not numeric" in refusal(path="t.parquet")


def test_parquet_without_pyarrow_names_the_extra(monkeypatch):
    def absent(path: Path) -> pd.DataFrame:
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd, "read_parquet", absent)
    Path("t.parquet").touch()
    assert "pip install 'lvmbench[parquet]'" in refusal(path="t.parquet")


def test_a_parquet_files_index_is_not_data():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    FRAME.set_index("kind").to_parquet("t.parquet")
    assert rows(Table(path="t.parquet").load()) == expected(FRAME.drop(columns="kind"))
    FRAME.set_index("long name").to_parquet("t.parquet")
    assert "row 1 holds 'rose'" in refusal(path="t.parquet")


@pytest.mark.parametrize(("header", "due"), [(True, ROWS), (False, ROWS + 1)])
def test_a_first_line_of_numbers_is_what_the_user_says(header, due):
    data = Table(path=csv(YEARS), header=header).load()
    assert sum(map(len, data.splits.values())) == due
    assert data.columns == (("2001", "2002", "2003") if header else ("0", "1", "2"))


def test_names_that_are_numbers_can_be_given_as_numbers():
    data = Table(path=csv(YEARS.replace(".5\n", "\n")), header=True, columns=2002, label=2003).load()
    assert data.columns == ("2002",)
    assert "labels" in data.capabilities


def test_spaces_after_commas_belong_to_no_name_and_no_label():
    spaced = csv(FRAME.to_csv(index=False).replace(",", ", "), "spaced.csv")
    ours, theirs = (Table(path=p, columns="width height", label="kind").load() for p in (spaced, csv(FRAME)))
    assert ours.checksum == theirs.checksum


@pytest.mark.parametrize(("separator", "mark"), [("semicolon", ";"), ("tab", "\t"), ("bar", "|")])
def test_cells_and_decimals_are_told_apart_as_the_user_says(separator, mark):
    text = FRAME.to_csv(index=False, sep=mark, decimal=",")
    ours = Table(path=csv(text, "ours.csv"), separator=separator, decimal="comma", label="kind").load()
    assert ours.checksum == Table(path=csv(FRAME), label="kind").load().checksum


@pytest.mark.parametrize("name", ["NA", "None", "nan", "null", "N/A"])
def test_a_label_is_a_class_whatever_pandas_takes_it_for(name):
    frame = FRAME.replace({"rose": name})
    ours, theirs = (
        Table(path=csv(f, p), label="kind").load() for f, p in ((frame, "ours.csv"), (FRAME, "theirs.csv"))
    )
    classes = [
        {name: s.labels.bincount().tolist() for name, s in data.splits.items()} for data in (ours, theirs)
    ]
    assert classes[0] in (classes[1], {name: counts[::-1] for name, counts in classes[1].items()})


def test_labels_in_numbers_keep_the_order_of_numbers():
    train = Table(path=csv(FRAME.assign(kind=[10, 9] * 10)), label="kind").load().splits["train"]
    even = train.x[:, 1].sqrt().round() % 2 == 0
    assert torch.equal(train.labels, even.long())


COUNTS = pd.DataFrame({"visits": np.arange(ROWS) % 7, "items": np.arange(ROWS) * 30})


def test_whole_numbers_are_counts_which_no_density_takes():
    data = Table(path=csv(COUNTS)).load()
    assert (data.support, data.capabilities, data.splits["train"].x.dtype) == (
        "count",
        {"count", "complete"},
        torch.float32,
    )
    for decoder in ("gaussian", "linear_gaussian"):
        with pytest.raises(
            Refusal, match=r"requires dataset.real.*; values=real takes whole numbers as real"
        ):
            lvmbench.fit(data=f"table[path={csv(COUNTS)}]", decoder=decoder, **PARTS)
    with pytest.raises(Refusal, match=r"requires dataset.binary, .* provides complete, count\)$"):
        lvmbench.fit(data=f"table[path={csv(COUNTS)}]", decoder="bernoulli", **PARTS)


def test_counts_are_taken_as_real_numbers_where_the_user_says_so():
    fitted = lvmbench.fit(
        data=f"table[path={csv(COUNTS)},values=real]", decoder="gaussian[hidden=4]", **PARTS
    )
    assert fitted.data.capabilities == {"real", "complete"}
    assert fitted.data.remarks[0].startswith("columns visits, items: whole numbers only")


def test_temperatures_are_no_counts():
    assert Table(path=csv(COUNTS - 5)).load().support == "real"


def test_a_byte_is_kept_in_a_byte():
    data = Table(path=npz(x=np.arange(400, dtype=np.uint8).reshape(10, 40) % 250 + 1)).load()
    assert (data.support, data.splits["train"].x.dtype) == ("count", torch.uint8)


def test_a_constant_column_passes_where_the_user_says_so_and_is_remarked_on():
    data = Table(path=csv(NUMBERS.assign(site=7.0)), values="real").load()
    assert any("site" in remark for remark in data.remarks)


def test_values_of_the_other_byte_order_train():
    rng = np.random.default_rng(0)
    path = npz(x=rng.normal(size=(40, 3)).astype(">f4"), y=rng.integers(3, size=40).astype(">i4"))
    fitted = lvmbench.fit(data=f"table[path={path},label=y]", decoder="gaussian[hidden=4]", **PARTS)
    assert fitted.data.capabilities == {"real", "complete", "labels"}


def test_channels_last_are_brought_to_the_front():
    images = np.random.default_rng(0).integers(256, size=(20, 12, 10, 3)).astype(np.uint8)
    data = Table(path=npz(x=images), layout="hwc").load()
    assert data.splits["train"].x.shape[1:] == (3, 12, 10)
    assert rows(data) == sorted(images.transpose(0, 3, 1, 2).reshape(20, -1).astype(np.float32).tolist())
    assert Table(path=npz(x=images), layout="chw").load().splits["train"].x.shape[1:] == (12, 10, 3)


def test_whole_seconds_are_standardised():
    data = Table(path=csv(pd.DataFrame({"t": 1_700_000_000 + np.arange(ROWS)})), standardize=True).load()
    assert (data.support, len(np.unique(np.array(rows(data))))) == ("real", ROWS)


def test_fractions_from_0_to_1_are_real_once_they_are_standardised():
    path = csv(pd.DataFrame({"a": np.linspace(0, 1, ROWS)}))
    assert [Table(path=path, values=v, standardize=True).load().support for v in ("auto", "unit")] == [
        "real"
    ] * 2


def test_what_single_precision_merges_is_kept_apart_by_standardising():
    """400 times of a minute, of which single precision leaves one."""
    times = pd.DataFrame({"t": 1.7e9 + 60 * np.random.default_rng(0).random(400)})
    assert times["t"].astype(np.float32).nunique() == 1
    assert "column 't'" in refusal(path=csv(times))
    data = Table(path=csv(times), standardize=True).load()
    assert len(np.unique(np.array(rows(data)))) == 400
