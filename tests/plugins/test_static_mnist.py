"""The published static binarisation: its text on written files, the data where it is present."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from lvmbench import UserError
from lvmbench_plugins.datasets.static_mnist import StaticMnist, read_splits
from tests.plugins.pictures import need, spread

MEANS = {"train": 0.13056, "validation": 0.13113, "test": 0.13251}
SIZES = {"train": 50_000, "validation": 10_000, "test": 10_000}


def written(path: Path, rows: np.ndarray) -> Path:
    text = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("suffix", ["amat", "amat.gz"])
def test_each_split_is_a_text_that_is_read_row_by_row(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 2, (6, 1, 28, 28))
    parts = {"train": pixels[:3], "validation": pixels[3:4], "test": pixels[4:]}
    paths = [written(tmp_path / f"{name}.{suffix}", part.reshape(-1, 784)) for name, part in parts.items()]
    splits = read_splits(*paths)
    for name, part in parts.items():
        assert torch.equal(splits[name].x, torch.from_numpy(part.astype(np.uint8)))
        assert splits[name].labels is None


@pytest.mark.parametrize("text", [b"", b"0 1\n", b"0 1 " * 392, b"0,1," * 391 + b"0,1\n"])
def test_another_text_is_refused(tmp_path, text):
    path = tmp_path / "images.amat"
    path.write_bytes(text)
    with pytest.raises(UserError, match=rf"raw file '{path}' is {len(text)} bytes that are not lines of 784"):
        read_splits(path, path, path)


def test_the_published_images():
    need(StaticMnist)
    data = StaticMnist().load()
    assert {name: tuple(split.x.shape) for name, split in data.splits.items()} == {
        name: (size, 1, 28, 28) for name, size in SIZES.items()
    }
    means = {name: round(split.x.double().mean().item(), 5) for name, split in data.splits.items()}
    assert means == MEANS
    assert data.capabilities == {"unit", "binary", "complete", "image"}


def test_digits_stand_upright():
    """Digits are taller than wide."""
    need(StaticMnist)
    down, across = spread(StaticMnist().load().splits["train"].x.double().mean((0, 1)))
    assert down > 1.2 * across
