"""What is kept of raw files: shared between processes, and never half of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

import numpy as np
import pooch
import pytest
import torch

from lvmbench import Data, Dataset, RawFile, Split, UserError
from lvmbench.data.cache import cache_home, kept, parsed_anew
from lvmbench.data.files import data_home, unpacked

CONTENT = bytes(range(60))
MAPS = Path("/proc/self/maps")
read: list[tuple[Path, float]] = []
"""The files that were read, each time, and at which scale."""


def read_splits(path: Path, *, scale: float) -> dict[str, Split]:
    read.append((path, scale))
    x = torch.from_numpy(np.frombuffer(unpacked(path), np.uint8).copy()).reshape(20, 3)
    labels, parts = torch.arange(20), {"train": slice(12), "validation": slice(12, 16), "test": slice(16, 20)}
    return {
        name: Split(x[rows], labels[rows], scale, missing=255.0, whole=x[rows] * scale)
        for name, rows in parts.items()
    }


@final
class Bytes(Dataset):
    """The bytes of a file."""

    files = (RawFile("bytes/bytes", hashlib.sha256(CONTENT).hexdigest(), "http://127.0.0.1:9/bytes"),)

    def __init__(self, scale: float = 0.5) -> None:
        self.scale = scale

    def load(self) -> Data:
        return Data(self.parsed(read_splits, scale=self.scale), "real", "none")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The raw file, and nothing kept of it."""
    monkeypatch.setenv("LVMBENCH_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("LVMBENCH_CACHE", str(tmp_path / "kept"))
    read.clear()
    path = data_home() / Bytes.files[0].path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return path


def files() -> list[Path]:
    return sorted(cache_home().iterdir()) if cache_home().is_dir() else []


def alike(one: Mapping[str, Split], other: Mapping[str, Split]) -> bool:
    """Whether splits hold the same."""
    pairs = [
        (a, b)
        for name in one
        for a, b in zip(vars(one[name]).values(), vars(other[name]).values(), strict=True)
    ]
    return one.keys() == other.keys() and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs
    )


def test_the_folder_is_the_variable_or_in_the_users_cache(monkeypatch):
    monkeypatch.setenv("LVMBENCH_CACHE", "~/kept")
    assert cache_home() == Path.home() / "kept"
    monkeypatch.delenv("LVMBENCH_CACHE")
    assert cache_home() == Path(pooch.os_cache("lvmbench")) / "parsed"


def test_raw_files_are_read_once(raw):
    first = Bytes().load()
    raw.unlink()  # nothing of it is needed any more
    again = Bytes().load()
    assert read == [(raw, 0.5)]
    assert alike(first.splits, read_splits_of(CONTENT, raw))
    assert alike(first.splits, again.splits)
    assert first.checksum == again.checksum


def read_splits_of(content: bytes, path: Path) -> dict[str, Split]:
    path.write_bytes(content)
    return read_splits(path, scale=0.5)


@pytest.mark.parametrize("change", ["option", "version", "checksum", "function"])
def test_another_key_is_read_anew(raw, monkeypatch, change):
    Bytes().load()
    dataset = Bytes(0.25 if change == "option" else 0.5)
    if change == "version":
        monkeypatch.setattr(Bytes, "version", 2)
    elif change == "checksum":
        raw.write_bytes(CONTENT[::-1])
        sha256 = hashlib.sha256(CONTENT[::-1]).hexdigest()
        monkeypatch.setattr(Bytes, "files", (RawFile("bytes/bytes", sha256, "http://127.0.0.1:9/bytes"),))
    elif change == "function":
        monkeypatch.setattr(read_splits, "__qualname__", "read_otherwise")
    dataset.load()
    assert (len(read), len(files())) == (2, 2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content.replace(b"train.labels", b"train.labelz"),
        lambda content: content.replace(b'"sha256"', b'"sha257"'),
        lambda content: b"something else altogether",
    ],
    ids=["empty", "short", "half", "bit", "name", "word", "other"],
)
def test_a_spoilt_file_is_made_anew(raw, spoil):
    whole = Bytes().load().checksum
    (path,) = files()
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(spoil(content))
    assert Bytes().load().checksum == whole
    assert len(read) == 2
    assert path.read_bytes() == content
    Bytes().load()
    assert len(read) == 2


@pytest.mark.parametrize("content", [None, b"", CONTENT[:-1], CONTENT + b"\0"])
def test_of_a_bad_raw_file_nothing_is_kept(raw, content):
    raw.unlink()
    if content is not None:
        raw.write_bytes(content)
    with pytest.raises(UserError, match="raw file") as error:
        Bytes().load()
    message = str(error.value)
    assert all(part in message for part in (str(raw), Bytes.files[0].digits))
    assert "\n" not in message
    assert (read, files()) == ([], [])


def test_what_cannot_be_read_is_not_kept(raw):
    def make() -> dict[str, torch.Tensor]:
        raise UserError("another layout")

    with pytest.raises(UserError, match="another layout"):
        kept("Set", "key", make)
    assert files() == []


def test_a_writer_that_fails_leaves_nothing_and_data_are_given_all_the_same(raw, monkeypatch):
    def full(self: Path, content: bytes) -> None:
        self.touch()
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(UserWarning, match="cannot be written .No space left on device.: each process reads"):
        data = Bytes().load()
    assert len(data.splits["train"]) == 12
    assert files() == []


def test_a_folder_that_cannot_be_made_costs_sharing_only(raw, tmp_path):
    (tmp_path / "kept").write_text("a file, not a folder")
    with pytest.warns(UserWarning, match="LVMBENCH_CACHE names another folder"):
        assert len(Bytes().load().splits["test"]) == 4


def test_what_is_kept_is_passed_over_inside(raw):
    Bytes().load()
    with parsed_anew():
        Bytes().load()
    Bytes().load()
    assert (len(read), len(files())) == (2, 1)


def test_values_lie_in_the_mapped_file(raw):
    if not MAPS.is_file():
        pytest.skip("this system does not say what is mapped: there is no /proc/self/maps")
    data = Bytes().load()
    (path,) = files()
    mapped = [line.split() for line in MAPS.read_text().splitlines() if line.endswith(f" {path}")]
    places = [tuple(int(end, 16) for end in line[0].split("-")) for line in mapped]
    for split in data.splits.values():
        for tensor in (split.x, split.labels):
            assert any(low <= tensor.data_ptr() < high for low, high in places)
    # private: what a process writes there is its own
    assert {line[1][3] for line in mapped} == {"p"}
    data.splits["train"].x[0] = 7
    assert Bytes().load().splits["train"].x[0].tolist() == [0, 1, 2]


def test_those_who_write_at_once_read_the_whole(raw):
    at_once = 4
    start = threading.Barrier(at_once)

    def load(_: int) -> str:
        start.wait()
        return Bytes().load().checksum

    with ThreadPoolExecutor(at_once) as threads:
        found = set(threads.map(load, range(at_once)))
    assert found == {Bytes().load().checksum}
    assert len(files()) == 1


def test_what_a_killed_writer_leaves_is_not_read(raw):
    whole = Bytes().load().checksum
    (path,) = files()
    path.rename(path.with_name(f".{path.name}.0.partial"))
    assert Bytes().load().checksum == whole
    assert len(read) == 2
