"""Grey images as binary data, in the four ways of the literature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from lvmbench import Data, Noise, Published, Split, Stream

Binarize = Literal["threshold", "static", "dynamic", "none"]
"""``threshold`` at half intensity; ``static``: sampled once; ``dynamic``: sampled anew at each visit.

``none``: grey.
"""


def image_data(
    splits: Mapping[str, Split], mode: Binarize, licence: str, published: tuple[Published, ...] = ()
) -> Data:
    """Data of images that `binarized` has made; what is ``published`` is of those that are drawn anew."""
    support: Literal["unit", "binary"] = "unit" if mode == "none" else "binary"
    visit, figures = (resample, published) if mode == "dynamic" else (None, ())
    return Data(splits, support, licence, visit, provides=frozenset({"image"}), published=figures)


def binarized(grey: Mapping[str, Split], mode: Binarize, name: str) -> dict[str, Split]:
    """Splits of grey images from 0 to 1, made binary.

    The fixed samples of ``static`` are one draw per split, known by the name of the data set; ``dynamic``
    validates and tests on the same ones.
    """
    return {split: _binarized(s, mode, name, split) for split, s in grey.items()}


def resample(grey: Tensor, noise: Noise) -> Tensor:
    """Binary pixels, each 1 with its intensity as the probability."""
    return (noise.uniform(grey.shape) < grey).to(grey.dtype)


def _binarized(grey: Split, mode: Binarize, name: str, split: str) -> Split:
    if mode == "none" or (mode == "dynamic" and split == "train"):
        return grey
    if mode == "threshold":
        return Split((grey.values > 0.5).to(torch.uint8), grey.labels)
    noise = Stream.seeded(0, name, "binarize", split, dtype=torch.float32)
    return Split(resample(grey.values, noise).to(torch.uint8), grey.labels)
