"""Classical piano music of the archive Piano-midi.de."""

from __future__ import annotations

from typing import final

from lvmbench import Data, Dataset
from lvmbench_plugins.datasets._music import piano_rolls, read_splits, roll_file


@final
class PianoMidi(Dataset):
    """124 classical piano pieces of 65 to 3,857 steps: 87 for training, 12 for validation, 25 for test.

    Each of the 88 values of a step says whether that note, A0 to C8, sounds. Papers give log densities per
    step. The splits are those published.

    References:
        Modeling Temporal Dependencies in High-Dimensional Sequences: Application to Polyphonic Music
        Generation and Transcription (Boulanger-Lewandowski, Bengio, Vincent, 2012),
        https://arxiv.org/abs/1206.6392;
        An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling (Bai,
        Kolter, Koltun, 2018), https://arxiv.org/abs/1803.01271 (whose files are read)

    Example:
        >>> [file.path for file in PianoMidi().files]
        ['polyphonic-music/Piano_midi.mat']
    """

    files = (roll_file("Piano_midi", "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34"),)

    def load(self) -> Data:
        return piano_rolls(self.parsed(read_splits))
