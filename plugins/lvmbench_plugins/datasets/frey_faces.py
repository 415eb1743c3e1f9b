"""Frey Faces: the frames of a film of one face."""

from __future__ import annotations

import math
from pathlib import Path
from typing import final

import torch

from lvmbench import Data, Dataset, RawFile, Split, generator
from lvmbench_plugins.datasets._arrays import read_npz

SHAPE = (1, 28, 20)
SIZES = {"train": 1565, "validation": 200, "test": 200}
GREYS = 256


@final
class FreyFaces(Dataset):
    r"""One face in many expressions, 28x20, in 1,565 training, 200 validation and 200 test images.

    Of a grey level :math:`g` from 0 to 255 the value is :math:`(g + 0.5) / 256`, the middle of its bin. The
    splits are parts of one shuffle, by seed 0; the frames of a film follow each other closely, so images in
    test have near neighbours in train.

    References:
        Nonlinear Dimensionality Reduction by Locally Linear Embedding (Roweis, Saul, 2000),
        https://doi.org/10.1126/science.290.5500.2323;
        VAE with a VampPrior (Tomczak, Welling, 2018), https://arxiv.org/abs/1705.07120

    Example:
        >>> [file.path for file in FreyFaces().files]
        ['freyfaces/freyfaces.npz']
    """

    files = (
        RawFile(
            "freyfaces/freyfaces.npz",
            "6da2935825451041b1a232d8e424af574072949cc53b67129d2fc54fb249e0c3",
            "https://cs.nyu.edu/~roweis/data/frey_rawface.mat",
            made="numpy.savez_compressed('freyfaces.npz', images=loadmat('frey_rawface.mat')['ff'].T)",
        ),
    )

    def load(self) -> Data:
        return Data(
            self.parsed(read_splits),
            "unit",
            "none stated, courtesy of Brendan Frey",
            provides=frozenset({"image"}),
            notes=("the images are frames of a film, shuffled: those of test have near neighbours in train",),
        )


def read_splits(path: Path) -> dict[str, Split]:
    """The splits of the shuffle by seed 0."""
    frames = torch.from_numpy(read_npz(path, {"images": (None, math.prod(SHAPE))})["images"])
    order = torch.randperm(len(frames), generator=generator(0, "frey_faces", "split"))
    values = (frames.unflatten(1, SHAPE)[order] + 0.5) / GREYS
    return {name: Split(x) for name, x in zip(SIZES, values.split(list(SIZES.values())), strict=True)}
