"""Grey images as binary data, in the four ways of the literature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from lvmbench import Data, Noise, Split, Stream

Binarize = Literal["threshold", "static", "dynamic", "none"]
"""``threshold`` at half intensity; ``static``: sampled once; ``dynamic``: sampled anew at each visit; ``none``: grey."""


def image_data(raw: Mapping[str, Split], mode: Binarize, *, white: int, name: str, licence: str) -> Data:
    """Data from grey images whose values go from 0 to ``white``.

    The fixed samples of ``static`` are one draw per split; ``dynamic`` validates and tests on the same ones.
    """
    splits = {
        split: Split(_values(s.x.to(torch.float32) / white, mode, name, split), s.labels)
        for split, s in raw.items()
    }
    support: Literal["unit", "binary"] = "unit" if mode == "none" else "binary"
    visit = resample if mode == "dynamic" else None
    return Data(splits, support, licence, visit, provides=frozenset({"image"}))


def resample(grey: Tensor, noise: Noise) -> Tensor:
    """Binary pixels, each 1 with its intensity as the probability."""
    return (noise.uniform(grey.shape) < grey).to(grey.dtype)


def _values(grey: Tensor, mode: Binarize, name: str, split: str) -> Tensor:
    if mode == "none" or (mode == "dynamic" and split == "train"):
        return grey
    if mode == "threshold":
        return (grey > 0.5).to(torch.uint8)
    return resample(grey, Stream.seeded(0, name, "binarize", split, dtype=torch.float32)).to(torch.uint8)
