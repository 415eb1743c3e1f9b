"""OMNIGLOT: handwritten characters of fifty alphabets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, final

import numpy as np
import torch
from pydantic import Field

from lvmbench import Data, Dataset, Published, RawFile, Split
from lvmbench_plugins.datasets._arrays import read_matlab
from lvmbench_plugins.datasets._binarize import Binarize, binarized, image_data

SIDE = 28
ALPHABETS = 50
SEED = 123
"""That of the shuffle of the training images in the code of the paper."""

OTHER_DRAW = "the same test images, made binary by another draw"
PUBLISHED = (
    Published(-89.83, "variational lossy autoencoder", "Chen et al. 2017", OTHER_DRAW),
    Published(-89.76, "VampPrior of two layers, PixelCNN", "Tomczak & Welling 2018", OTHER_DRAW),
)


@final
class Omniglot(Dataset):
    r"""Handwritten characters, 28x28, in 23,000 training, 1,345 validation and 8,070 test images.

    Images, splits and shuffle are those of the code of the paper on importance weighted autoencoders. Labels
    are the fifty alphabets.

    With ``binarize=dynamic`` the training images stay grey and every visit draws
    :math:`x_d \sim \operatorname{Bernoulli}(g_d)` anew; validation and test are one fixed draw, the same as
    with ``static``.

    References:
        Human-Level Concept Learning through Probabilistic Program Induction (Lake, Salakhutdinov, Tenenbaum,
        2015), https://doi.org/10.1126/science.aab3050;
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519

    Arguments:
        binarize: ``threshold`` at half intensity, ``static`` sampled once, ``dynamic`` sampled anew at each
            training visit, or ``none``: the intensities from 0 to 1.
        validation: How many training images are for validation.

    Example:
        >>> [file.path for file in Omniglot().files]
        ['omniglot/chardata.mat']
    """

    files = (
        RawFile(
            "omniglot/chardata.mat",
            "md5:21ecaf34373511aa7691cf2e0802aa3d",
            "https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/chardata.mat",
        ),
    )

    def __init__(
        self,
        *,
        binarize: Binarize = "dynamic",
        validation: Annotated[int, Field(ge=1, lt=24_345)] = 1345,
    ) -> None:
        self.binarize, self.validation = binarize, validation

    def load(self) -> Data:
        splits = self.parsed(read_splits, binarize=self.binarize, validation=self.validation)
        return image_data(splits, self.binarize, "MIT", PUBLISHED)


def read_splits(path: Path, *, binarize: Binarize, validation: int) -> dict[str, Split]:
    """The splits; the last training images of a shuffle are for validation."""
    pixels, alphabets = (SIDE**2, None), (ALPHABETS, None)
    due = {"data": pixels, "target": alphabets, "testdata": pixels, "testtarget": alphabets}
    x, y, test_x, test_y = map(torch.from_numpy, read_matlab(path, due).values())
    order = torch.from_numpy(np.random.RandomState(SEED).permutation(x.shape[1]))
    train, held = order.split([len(order) - validation, validation])
    grey = {
        "train": _split(x[:, train], y[:, train]),
        "validation": _split(x[:, held], y[:, held]),
        "test": _split(test_x, test_y),
    }
    return binarized(grey, binarize, "omniglot")


def _split(pixels: torch.Tensor, alphabets: torch.Tensor) -> Split:
    """Of columns that are images, column by column, and the one of each alphabet."""
    images = pixels.T.to(torch.float32).unflatten(1, (1, SIDE, SIDE)).mT
    return Split(images, alphabets.argmax(0))
