"""scikit-learn's digits: small real images that need no download."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, final

import torch
from pydantic import Field

from lvmbench import Data, Dataset, Split, generator
from lvmbench_plugins.datasets._binarize import Binarize, binarized, image_data

SIZES = {"train": 1257, "validation": 180, "test": 360}


@final
class Digits(Dataset):
    r"""Handwritten digits, 8x8, in 1,257 training, 180 validation and 360 test images, always the same ones.

    Intensities :math:`g_d` are sixteenths. With ``binarize=dynamic`` the training images stay grey and every
    visit draws :math:`x_d \sim \operatorname{Bernoulli}(g_d)` anew; validation and test are one fixed draw,
    the same as with ``static``.

    References:
        Optical Recognition of Handwritten Digits (Alpaydin, Kaynak, 1998), https://doi.org/10.24432/C50P49

    Arguments:
        binarize: ``threshold`` at half intensity, ``static`` sampled once, ``dynamic`` sampled anew at each
            training visit, or ``none``: the intensities from 0 to 1, for the decoders of real-valued data.
        train: How many of the training images there are, the first ones.

    Example:
        >>> data = Digits().load()
        >>> data.splits["train"].x.shape, data.support
        (torch.Size([1257, 1, 8, 8]), 'binary')
    """

    def __init__(
        self, *, binarize: Binarize = "threshold", train: Annotated[int, Field(ge=1, le=1257)] = 1257
    ) -> None:
        self.binarize, self.train = binarize, train

    def load(self) -> Data:
        grey = self.parsed(_grey)
        grey["train"] = _first(grey["train"], self.train)
        return image_data(binarized(grey, self.binarize, "digits"), self.binarize, "CC BY 4.0")


def _first(split: Split, count: int) -> Split:
    assert split.labels is not None
    return replace(split, x=split.x[:count], labels=split.labels[:count])


def _grey() -> dict[str, Split]:
    """The images of scikit-learn, in splits."""
    from sklearn.datasets import load_digits  # which takes a second to import, and is needed once

    images, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(images).to(torch.uint8).reshape(-1, 1, 8, 8), torch.from_numpy(labels).long()
    order = torch.randperm(len(x), generator=generator(0, "digits", "split"))
    parts = dict(zip(SIZES, torch.split(order, list(SIZES.values())), strict=True))
    return {name: Split(x[rows], y[rows], 1 / 16) for name, rows in parts.items()}
