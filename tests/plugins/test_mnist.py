"""MNIST and Fashion-MNIST: the IDX reader on written files, the data where it is present."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch

from lvmbench import Stream, UserError
from lvmbench_plugins.datasets._idx import read_idx, read_splits
from lvmbench_plugins.datasets.fashion_mnist import FashionMnist
from lvmbench_plugins.datasets.mnist import Mnist
from tests.plugins.pictures import need


def test_an_idx_file_is_read(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2, 3, 4) + values.tobytes()))
    assert torch.equal(read_idx(path), torch.from_numpy(values))


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"\0\0\x0d\x01....", b"not an IDX file"])
def test_another_format_is_not_read(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=f"raw file '{path}' is no IDX file of unsigned bytes"):
        read_idx(path)


@pytest.mark.parametrize(("dataset", "mean"), [(Mnist, 33.791), (FashionMnist, 73.147)])
def test_the_published_images(dataset, mean):
    need(dataset)
    data = dataset(binarize="none").load()
    shapes = {name: tuple(split.x.shape) for name, split in data.splits.items()}
    sizes = {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert shapes == {name: (size, 1, 28, 28) for name, size in sizes.items()}
    assert 255 * data.splits["test"].values.double().mean().item() == pytest.approx(mean, abs=5e-4)
    assert data.splits["test"].labels.bincount().sum() == 10_000
    assert data.capabilities == {"unit", "real", "complete", "labels", "image"}


def test_the_first_training_labels_are_the_known_ones():
    need(Mnist)
    assert Mnist(binarize="none").load().splits["train"].labels[:5].tolist() == [5, 0, 4, 1, 9]


@pytest.fixture
def paths(tmp_path):
    """Four files of a few images and labels."""
    x, rng = {}, np.random.default_rng(0)
    for name, size in {"train": 12, "test": 5}.items():
        images, labels = rng.integers(0, 256, (size, 28, 28), np.uint8), rng.integers(0, 10, size, np.uint8)
        x[f"{name}_images"] = struct.pack(">HBBIII", 0, 8, 3, *images.shape) + images.tobytes()
        x[f"{name}_labels"] = struct.pack(">HBBI", 0, 8, 1, size) + labels.tobytes()
    for name, content in x.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    return [tmp_path / f"{name}.gz" for name in x]


def test_the_last_training_images_are_for_validation(paths):
    images, labels, test_images, _ = map(read_idx, paths)
    splits = read_splits(*paths, binarize="none", name="mnist", validation=4)
    assert torch.equal(splits["train"].x[:, 0], images[:8])
    assert torch.equal(splits["validation"].x[:, 0], images[8:])
    assert splits["validation"].labels.tolist() == labels[8:].tolist()
    assert torch.equal(splits["test"].x[:, 0], test_images)
    assert splits["test"].scale == 1 / 255


def test_dynamic_validates_and_tests_on_the_static_draw_which_is_fixed(paths):
    static, again, dynamic = (
        read_splits(*paths, binarize=mode, name="mnist", validation=4)
        for mode in ("static", "static", "dynamic")
    )
    for name in ("validation", "test"):
        assert torch.equal(static[name].x, again[name].x)
        assert torch.equal(static[name].x, dynamic[name].x)
        assert set(static[name].x.unique().tolist()) == {0, 1}
    assert dynamic["train"].x.amax() > 1


@pytest.mark.statistical("ones of each range of grey with their mean", "derived, of independent coins")
def test_by_default_training_images_are_drawn_at_each_visit(chance):
    need(Mnist)
    data = Mnist().load()
    grey = data.splits["train"].values[:200]
    ones = data.visit(grey, Stream.seeded(1, "visits"))
    assert set(ones.unique().tolist()) == {0, 1}
    assert data.splits["test"].x.dtype == torch.uint8
    ranges = [(grey > low) & (grey <= low + 0.25) for low in (0, 0.25, 0.5, 0.75)]
    found, due = (torch.stack([t[at].double().sum() for at in ranges]) for t in (ones, grey))
    variance = torch.stack([(grey[at] * (1 - grey[at])).double().sum() for at in ranges])
    chance.within(found, due, variance.sqrt())  # thousands of pixels: normal
