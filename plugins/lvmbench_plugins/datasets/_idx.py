"""The IDX format of MNIST and of the data sets made in its image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lvmbench import Split, UserError
from lvmbench.data.files import unpacked
from lvmbench_plugins.datasets._binarize import Binarize, binarized

WHITE = 255
Validation = Annotated[int, Field(ge=1, lt=60_000)]
"""How many of the 60,000 training images are for validation: fewer than all."""


def read_splits(
    images: Path,
    labels: Path,
    test_images: Path,
    test_labels: Path,
    *,
    binarize: Binarize,
    name: str,
    validation: int,
) -> dict[str, Split]:
    """The splits of gzipped IDX files; so many of the last training images are for validation."""
    x, y = read_idx(images)[:, None], read_idx(labels).long()
    test = read_idx(test_images)[:, None], read_idx(test_labels).long()
    train = len(x) - validation
    parts = {"train": (x[:train], y[:train]), "validation": (x[train:], y[train:]), "test": test}
    grey = {split: Split(*part, 1 / WHITE) for split, part in parts.items()}
    return binarized(grey, binarize, name)


def read_idx(path: Path) -> Tensor:
    """The bytes of a gzipped IDX file:
    two zeros, the type, the number of sizes, the big-endian sizes, the values.
    """
    content = unpacked(path)
    start, dims = content[:4], content[3] if len(content) > 3 else 0
    if start[:3] != b"\0\0\x08" or not dims:
        raise UserError(f"raw file '{path}' is no IDX file of unsigned bytes: it starts with {start!r}")
    shape = np.frombuffer(content, ">u4", dims, offset=4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape).copy())
