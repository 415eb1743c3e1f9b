"""The published static binarisation: its text on written files, the data where it is present."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from lvmbench import UserError
from lvmbench.data.files import present
from lvmbench_plugins.datasets.static_mnist import StaticMnist, read_amat

MEANS = {"train": 0.13056, "validation": 0.13113, "test": 0.13251}


def written(path: Path, rows: np.ndarray) -> Path:
    text = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["images.amat", "images.amat.gz"])
def test_a_text_is_read_row_by_row(tmp_path, name):
    pixels = np.zeros((2, 1, 28, 28), int)
    pixels[0, 0, 3, 20] = pixels[1, 0, 27, 27] = 1
    split = read_amat(written(tmp_path / name, pixels.reshape(2, 784)))
    assert torch.equal(split.x, torch.from_numpy(pixels.astype(np.uint8)))
    assert split.labels is None


@pytest.mark.parametrize("text", [b"", b"0 1\n", b"0 1 " * 392, b"0,1," * 391 + b"0,1\n"])
def test_another_text_is_refused(tmp_path, text):
    path = tmp_path / "images.amat"
    path.write_bytes(text)
    with pytest.raises(UserError, match=rf"raw file '{path}' is {len(text)} bytes that are not lines of 784"):
        read_amat(path)


def test_the_published_images():
    for file in StaticMnist.files:
        if not present(file):
            pytest.skip(f"LVMBENCH_DATA has no {file.path}")
    data = StaticMnist().load()
    sizes = {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert {name: tuple(split.x.shape) for name, split in data.splits.items()} == {
        name: (size, 1, 28, 28) for name, size in sizes.items()
    }
    for name, split in data.splits.items():
        assert split.values.double().mean().item() == pytest.approx(MEANS[name], abs=5e-6)
    assert data.capabilities == {"unit", "binary", "complete", "image"}
    assert upright(data.splits["train"].x)


def upright(x: torch.Tensor) -> bool:
    """Whether ink spreads over more rows than columns, as upright digits do."""
    ink, at = x.double().mean((0, 1)), torch.arange(28, dtype=torch.float64)
    spread = [
        line.mul(at**2).sum() / line.sum() - (line.mul(at).sum() / line.sum()) ** 2
        for line in (ink.sum(1), ink.sum(0))
    ]
    return bool(spread[0] > spread[1])
