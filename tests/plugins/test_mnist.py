"""MNIST and Fashion-MNIST: the IDX reader on written files, the data where it is present."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch

from lvmbench import Stream
from lvmbench.data.files import data_home
from lvmbench_plugins.datasets._idx import read_idx
from lvmbench_plugins.datasets.fashion_mnist import FashionMnist
from lvmbench_plugins.datasets.mnist import Mnist


def need(dataset: type) -> None:
    missing = [file.path for file in dataset.files if not (data_home() / file.path).is_file()]
    if missing:
        pytest.skip(f"LVMBENCH_DATA has no {missing[0]}")


def test_an_idx_file_is_read(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2, 3, 4) + values.tobytes()))
    assert torch.equal(read_idx(path), torch.from_numpy(values))


def test_another_format_is_not_read(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(b"not an IDX file"))
    with pytest.raises(ValueError, match="not an IDX file"):
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
    assert Mnist(binarize="threshold").load().splits["train"].labels[:5].tolist() == [5, 0, 4, 1, 9]


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


def test_static_is_the_same_at_every_load():
    need(Mnist)
    first, again = (Mnist(binarize="static").load() for _ in range(2))
    assert first.checksum == again.checksum
    assert first.capabilities == {"unit", "binary", "complete", "labels", "image"}
