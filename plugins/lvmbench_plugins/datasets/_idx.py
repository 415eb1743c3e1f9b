"""The IDX format of MNIST and of the data sets made in its image."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lvmbench import Data, RawFile, Split, fetch
from lvmbench_plugins.datasets._binarize import Binarize, image_data

VALIDATION = 10_000


def load_idx(files: tuple[RawFile, ...], mode: Binarize, *, name: str, licence: str) -> Data:
    """Data from training images, training labels, test images and test labels, in this order.

    The last 10,000 training images are the validation split.
    """
    images, labels, *test = (read_idx(fetch(file)) for file in files)
    raw = {
        "train": Split(images[:-VALIDATION, None], labels[:-VALIDATION].long()),
        "validation": Split(images[-VALIDATION:, None], labels[-VALIDATION:].long()),
        "test": Split(test[0][:, None], test[1].long()),
    }
    return image_data(raw, mode, white=255, name=name, licence=licence)


def read_idx(path: Path) -> Tensor:
    """The bytes of a gzipped IDX file:
    two zeros, the type, the number of sizes, the big-endian sizes, the values.
    """
    content = gzip.decompress(path.read_bytes())
    zeros, kind, dims = content[:2], content[2], content[3]
    if zeros != b"\0\0" or kind != 8:
        raise ValueError(f"'{path}' is not an IDX file of unsigned bytes: it starts with {content[:4]!r}")
    shape = np.frombuffer(content, ">u4", dims, offset=4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape).copy())
