"""OMNIGLOT as in the code of the paper on importance weighted autoencoders: its layout, on a made file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from lvmbench import RawFile, UserError
from lvmbench_plugins.datasets.omniglot import Omniglot, read_splits
from tests.plugins.pictures import need

TRAIN, TEST = 30, 8


def made(path: Path, **changes: object) -> dict[str, np.ndarray]:
    """A file of that layout, of a few pictures whose first pixel tells them apart."""
    rng = np.random.default_rng(0)
    images = {"data": rng.uniform(size=(TRAIN, 28, 28)), "testdata": rng.uniform(size=(TEST, 28, 28))}
    alphabets = {"target": rng.integers(0, 50, TRAIN), "testtarget": rng.integers(0, 50, TEST)}
    columns = {name: x.transpose(0, 2, 1).reshape(len(x), 784).T for name, x in images.items()}
    one_hot = {name: np.eye(50)[y].T for name, y in alphabets.items()}
    characters = {"targetchar": np.ones((1, TRAIN)), "testtargetchar": np.ones((1, TEST))}
    scipy.io.savemat(path, {**columns, **one_hot, **characters, **changes})
    return {**images, **alphabets}


def test_pictures_are_columns_column_by_column_and_alphabets_are_labels(tmp_path):
    held = made(tmp_path / "made.mat")
    splits = read_splits(tmp_path / "made.mat", binarize="none", validation=4)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 26,
        "validation": 4,
        "test": TEST,
    }
    order = np.random.RandomState(123).permutation(TRAIN)  # as the code of the paper has it
    rows = {"train": ("", order[:-4]), "validation": ("", order[-4:]), "test": ("test", np.arange(TEST))}
    for name, (prefix, kept) in rows.items():
        images = torch.from_numpy(held[f"{prefix}data"][kept]).float()
        assert torch.equal(splits[name].x[:, 0], images)
        assert splits[name].labels.tolist() == held[f"{prefix}target"][kept].tolist()


@pytest.mark.parametrize("mode", ["threshold", "static", "dynamic", "none"])
def test_it_is_made_binary_as_mnist_is(tmp_path, monkeypatch, mode):
    path = tmp_path / "omniglot" / "chardata.mat"
    path.parent.mkdir()
    made(path)
    md5 = f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"
    monkeypatch.setenv("LVMBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(Omniglot, "files", (RawFile("omniglot/chardata.mat", md5, "http://127.0.0.1:9"),))
    data = Omniglot(binarize=mode, validation=4).load()
    assert data.support == ("unit" if mode == "none" else "binary")
    assert (data.visit is not None) == (mode == "dynamic")
    assert {"image", "labels"} <= data.capabilities
    grey = [name for name, split in data.splits.items() if split.x.is_floating_point()]
    assert grey == {"none": ["train", "validation", "test"], "dynamic": ["train"]}.get(mode, [])


def test_the_md5_is_checked(tmp_path, monkeypatch):
    path = tmp_path / "omniglot" / "chardata.mat"
    path.parent.mkdir()
    made(path)
    monkeypatch.setenv("LVMBENCH_DATA", str(tmp_path))
    found = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(UserError, match=f"has md5 {found}, expected 21ecaf34373511aa7691cf2e0802aa3d"):
        Omniglot().load()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"data": np.zeros((TRAIN, 784))}, "data .30, 784."),
        ({"target": np.ones((1, TRAIN))}, "target .1, 30."),
    ],
)
def test_another_layout_is_refused_with_what_was_found(tmp_path, changes, found):
    path = tmp_path / "made.mat"
    made(path, **changes)
    with pytest.raises(UserError, match=rf"raw file '{path}' holds .*{found}.*must hold .*data .784, n."):
        read_splits(path, binarize="none", validation=4)


def test_the_published_images():
    need(Omniglot)
    data = Omniglot(binarize="none").load()
    sizes = {"train": 23_000, "validation": 1345, "test": 8070}
    assert {name: len(split) for name, split in data.splits.items()} == sizes
