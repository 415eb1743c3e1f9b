"""Orchestral and piano music of the MuseData library."""

from __future__ import annotations

from typing import final

from lvmbench import Data, Dataset
from lvmbench_plugins.datasets._music import piano_rolls, read_splits, roll_file


@final
class MuseData(Dataset):
    """783 pieces of classical music of 9 to 4,273 steps: 524 for training, 135 for validation, 124 for test.

    Each of the 88 values of a step says whether that note, A0 to C8, sounds. Papers give log densities per
    step. The splits are those published.

    References:
        Modeling Temporal Dependencies in High-Dimensional Sequences: Application to Polyphonic Music
        Generation and Transcription (Boulanger-Lewandowski, Bengio, Vincent, 2012),
        https://arxiv.org/abs/1206.6392;
        An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling (Bai,
        Kolter, Koltun, 2018), https://arxiv.org/abs/1803.01271 (whose files are read)

    Example:
        >>> [file.path for file in MuseData().files]
        ['polyphonic-music/MuseData.mat']
    """

    files = (roll_file("MuseData", "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff"),)

    def load(self) -> Data:
        return piano_rolls(self.parsed(read_splits))
