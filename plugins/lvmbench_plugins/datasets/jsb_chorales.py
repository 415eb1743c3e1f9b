"""The four-part chorales of J. S. Bach."""

from __future__ import annotations

from typing import final

from lvmbench import Data, Dataset
from lvmbench_plugins.datasets._music import piano_rolls, read_splits, roll_file


@final
class JsbChorales(Dataset):
    """382 chorales of Bach of 25 to 160 steps: 229 for training, 76 for validation, 77 for test.

    Each of the 88 values of a step says whether that note, A0 to C8, sounds. Papers give log densities per
    step. The splits are those published.

    References:
        Modeling Temporal Dependencies in High-Dimensional Sequences: Application to Polyphonic Music
        Generation and Transcription (Boulanger-Lewandowski, Bengio, Vincent, 2012),
        https://arxiv.org/abs/1206.6392;
        An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling (Bai,
        Kolter, Koltun, 2018), https://arxiv.org/abs/1803.01271 (whose files are read)

    Example:
        >>> [file.path for file in JsbChorales().files]
        ['polyphonic-music/JSB_Chorales.mat']
    """

    files = (roll_file("JSB_Chorales", "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"),)

    def load(self) -> Data:
        return piano_rolls(self.parsed(read_splits))
