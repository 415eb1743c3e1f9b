"""Folk tunes of the Nottingham collection."""

from __future__ import annotations

from typing import final

from lvmbench import Data, Dataset
from lvmbench_plugins.datasets._music import piano_rolls, read_splits, roll_file


@final
class Nottingham(Dataset):
    """1,037 folk tunes with chords of 40 to 1,793 steps: 694 for training, 173 for validation, 170 for test.

    Each of the 88 values of a step says whether that note, A0 to C8, sounds. Papers give log densities per
    step. The splits are those published.

    References:
        Modeling Temporal Dependencies in High-Dimensional Sequences: Application to Polyphonic Music
        Generation and Transcription (Boulanger-Lewandowski, Bengio, Vincent, 2012),
        https://arxiv.org/abs/1206.6392;
        An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling (Bai,
        Kolter, Koltun, 2018), https://arxiv.org/abs/1803.01271 (whose files are read)

    Example:
        >>> [file.path for file in Nottingham().files]
        ['polyphonic-music/Nottingham.mat']
    """

    files = (roll_file("Nottingham", "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea"),)

    def load(self) -> Data:
        return piano_rolls(self.parsed(read_splits))
