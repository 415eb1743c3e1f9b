"""The published static binarisation of MNIST."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
import torch

from lvmbench import Data, Dataset, Published, RawFile, Split, UserError
from lvmbench.data.files import unpacked

URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
HASHES = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
SIDE = 28
LINE = 2 * SIDE**2
"""The bytes of a line: each pixel is a digit, with a space or the end of the line after it."""

PUBLISHED = (
    Published(-79.03, "variational lossy autoencoder", "Chen et al. 2017, table 1"),
    Published(-79.02, "PixelVAE", "Gulrajani et al. 2017", "by 1,000 importance samples"),
)


@final
class StaticMnist(Dataset):
    """MNIST binarised once and for all, 28x28, in 50,000 training, 10,000 validation and 10,000 test images.

    It is the fixed sample that papers call static or fixed binarisation. Figures on it do not compare with
    those on ``mnist``, whose training images are drawn anew at each visit.

    References:
        On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov, Murray, 2008),
        https://doi.org/10.1145/1390156.1390266;
        The Neural Autoregressive Distribution Estimator (Larochelle, Murray, 2011),
        https://proceedings.mlr.press/v15/larochelle11a.html

    Example:
        >>> [file.path for file in StaticMnist().files][:1]
        ['binarized-mnist/binarized_mnist_train.amat']
    """

    files = tuple(
        RawFile(f"binarized-mnist/binarized_mnist_{part}.amat", sha256, f"{URL}binarized_mnist_{part}.amat")
        for part, sha256 in HASHES.items()
    )

    def load(self) -> Data:
        return Data(
            self.parsed(read_splits),
            "binary",
            "none stated",
            provides=frozenset({"image"}),
            notes=("the images are not in the order of those of MNIST, whose labels are not theirs",),
            published=PUBLISHED,
        )


def read_splits(train: Path, validation: Path, test: Path) -> dict[str, Split]:
    """The splits, a file for each."""
    return {"train": read_amat(train), "validation": read_amat(validation), "test": read_amat(test)}


def read_amat(path: Path) -> Split:
    """The images of a text of one line for each, plain or gzipped: their pixels, 0 or 1, row by row."""
    text = np.frombuffer(unpacked(path), np.uint8)
    lines = text[: len(text) // LINE * LINE].reshape(-1, SIDE**2, 2)
    ends = np.full(SIDE**2, ord(" "))
    ends[-1] = ord("\n")
    if len(text) % LINE or not len(text) or not (lines[..., 1] == ends).all():
        raise UserError(
            f"raw file '{path}' is {len(text)} bytes that are not lines of {SIDE**2} digits with a space "
            "between them; it is no .amat file of 28x28 binary images"
        )
    return Split(torch.from_numpy(lines[..., 0] - ord("0")).reshape(-1, 1, SIDE, SIDE))
