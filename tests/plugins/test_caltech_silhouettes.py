"""Caltech-101 Silhouettes: the layout on a made file, the data where it is present."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from lvmbench import UserError
from lvmbench_plugins.datasets.caltech_silhouettes import CaltechSilhouettes, read_splits
from tests.plugins.pictures import need

SIZES = {"train": 4100, "validation": 2264, "test": 2307}
MEANS = {"train": 0.551, "validation": 0.536, "test": 0.539}


def made(path: Path, **changes: object) -> dict[str, np.ndarray]:
    """A file of that layout, of three pictures a split; an array given as None is left out."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 2, (3, 28, 28), np.uint8) for name in ("train", "val", "test")}
    labels = {f"{name}_labels": np.array([[1], [101], [7]], np.uint8) for name in images}
    columns = {f"{name}_data": x.transpose(0, 2, 1).reshape(3, 784) for name, x in images.items()}
    held = {**columns, **labels, "classnames": np.array(["ant", "yin_yang"], object), **changes}
    scipy.io.savemat(path, {name: array for name, array in held.items() if array is not None})
    return images


def test_pictures_are_stored_column_by_column_and_labels_from_one(tmp_path):
    images = made(tmp_path / "made.mat")
    splits = read_splits(tmp_path / "made.mat")
    for name, published in {"train": "train", "validation": "val", "test": "test"}.items():
        assert torch.equal(splits[name].x[:, 0], torch.from_numpy(images[published]))
        assert splits[name].labels.tolist() == [0, 100, 6]


def test_a_gzipped_copy_is_read(tmp_path):
    made(tmp_path / "made.mat")
    (tmp_path / "made.mat.gz").write_bytes(gzip.compress((tmp_path / "made.mat").read_bytes()))
    plain, packed = (read_splits(tmp_path / name)["train"].x for name in ("made.mat", "made.mat.gz"))
    assert torch.equal(plain, packed)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"val_data": None}, "train_data .3, 784., test_data .3, 784., train_labels .3, 1.,"),
        ({"val_data": np.zeros((3, 256), np.uint8)}, "val_data .3, 256."),
        ({"val_data": np.array([["ant"]], object)}, "val_data .1, 1."),
    ],
)
def test_another_layout_is_refused_with_what_was_found(tmp_path, changes, found):
    path = tmp_path / "made.mat"
    made(path, **changes)
    with pytest.raises(UserError, match=rf"raw file '{path}' holds .*{found}.*must hold .*val_data .n, 784."):
        read_splits(path)


def test_what_is_no_matlab_file_is_refused(tmp_path):
    path = tmp_path / "made.mat"
    path.write_bytes(b"no such thing" * 50)
    with pytest.raises(UserError, match=rf"raw file '{path}' is no MATLAB file that can be read") as error:
        read_splits(path)
    assert "\n" not in str(error.value)


def test_the_published_images():
    need(CaltechSilhouettes)
    data = CaltechSilhouettes().load()
    assert {name: tuple(split.x.shape) for name, split in data.splits.items()} == {
        name: (size, 1, 28, 28) for name, size in SIZES.items()
    }
    means = {name: round(split.x.double().mean().item(), 3) for name, split in data.splits.items()}
    assert means == MEANS
    assert all(split.labels.unique().tolist() == list(range(101)) for split in data.splits.values())
    assert data.capabilities == {"unit", "binary", "complete", "image", "labels"}


def test_the_background_is_one():
    need(CaltechSilhouettes)
    for split in CaltechSilhouettes().load().splits.values():
        assert split.x[..., ::27, ::27].all()  # the corners


def test_objects_stand_upright():
    """Most stand on something: more of them is in the lower half; left and right do not differ as much."""
    need(CaltechSilhouettes)
    shape = 1 - CaltechSilhouettes().load().splits["train"].x.double().mean((0, 1))
    lower, right = (half.sum() / shape.sum() - 0.5 for half in (shape[14:], shape[:, 14:]))
    assert lower > 2 * abs(right)
