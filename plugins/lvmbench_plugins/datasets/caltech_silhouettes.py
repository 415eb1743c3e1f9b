"""Silhouettes of the objects in Caltech-101."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch

from lvmbench import Data, Dataset, Published, RawFile, Split
from lvmbench_plugins.datasets._arrays import read_matlab

NAME = "caltech101_silhouettes_28_split1.mat"
SIDE = 28
PARTS = {"train": "train", "validation": "val", "test": "test"}
"""What the file calls the splits."""


@final
class CaltechSilhouettes(Dataset):
    """Outlines of objects of 101 classes, 28x28, in 4,100 training, 2,264 validation and 2,307 test images.

    The background is 1 and the object 0, as published; some papers have it the other way round. Classes are
    numbered as they are published, but from 0.

    References:
        Inductive Principles for Restricted Boltzmann Machine Learning (Marlin, Swersky, Chen, de Freitas,
        2010), https://proceedings.mlr.press/v9/marlin10a.html

    Example:
        >>> [file.path for file in CaltechSilhouettes().files]
        ['caltech101-silhouettes/caltech101_silhouettes_28_split1.mat']
    """

    files = (
        RawFile(
            f"caltech101-silhouettes/{NAME}",
            "eb6735e8d84b1850fabc5590124aab1755e90c9fd28123585324398405e1e42a",
            f"https://people.cs.umass.edu/~marlin/data/{NAME}",
        ),
    )

    def load(self) -> Data:
        return Data(
            self.parsed(read_splits),
            "binary",
            "none stated",
            provides=frozenset({"image"}),
            notes=("classes have other shares of train than of validation and test",),
            published=(Published(-77.36, "variational lossy autoencoder", "Chen et al. 2017"),),
        )


def read_splits(path: Path) -> dict[str, Split]:
    """The splits; images are stored column by column, and labels counted from 1."""
    images = {f"{part}_data": (None, SIDE**2) for part in PARTS.values()}
    labels = {f"{part}_labels": (None, 1) for part in PARTS.values()}
    arrays = {name: torch.from_numpy(array) for name, array in read_matlab(path, images | labels).items()}
    return {
        name: Split(
            arrays[f"{part}_data"].unflatten(1, (1, SIDE, SIDE)).mT,
            arrays[f"{part}_labels"].flatten().long() - 1,
        )
        for name, part in PARTS.items()
    }
