"""Wrong data sets."""

import torch

from lvmbench import Data, Dataset, DiagonalNormal, RawFile, Split, Stream
from tests.mutants import mutant

SIZES = {"train": 300, "validation": 60, "test": 60}


class Normal(Dataset):
    """Two standard normal values."""

    support = "real"
    visit = None
    provides = frozenset()
    scale, constant = 1.0, 0.0

    def rows(self, name, size):
        return Stream.seeded(0, "mutant", name).normal((size, 2))

    def labels(self, x):
        return (x[:, 0] > 0).long()

    def splits(self):
        found = {name: self.rows(name, size) for name, size in SIZES.items()}
        return {name: Split(x, self.labels(x)) for name, x in found.items()}

    def log_prob(self, x):
        scale = torch.full((2,), self.scale, dtype=x.dtype)
        return DiagonalNormal(torch.zeros_like(scale), scale.log()).log_prob(x) + self.constant

    def load(self):
        return Data(self.splits(), self.support, "none", self.visit, self.log_prob, self.provides)


@mutant("other data at every load", data_are_the_same_at_every_load="a second load gives other data")
class NotRepeatable(Normal):
    def rows(self, name, size):
        return torch.randn(size, 2)


@mutant("values outside the declared support", values_lie_in_their_support="declare another")
class OutsideSupport(Normal):
    support = "unit"


@mutant("grey values, declared binary", values_lie_in_their_support="binary values of train are not 0 or 1")
class NotBinary(Normal):
    support = "binary"

    def rows(self, name, size):
        return super().rows(name, size).sigmoid()


@mutant("a third of the test rows are in train", splits_share_no_rows="split the rows first")
class LeaksTestRows(Normal):
    def splits(self):
        found = super().splits()
        leaked = torch.cat([found["train"].x, found["test"].x[:20]])
        return {**found, "train": Split(leaked, self.labels(leaked))}


@mutant("labels in floating point", labels_are_whole_numbers="use int64")
class FloatLabels(Normal):
    def labels(self, x):
        return x[:, 0]


@mutant(
    "a density of another scale than the data's",
    log_prob_is_that_of_the_data="the data are not drawn from it",
)
class WrongDensity(Normal):
    scale = 1.5


@mutant("a density without its constant", known_density_integrates_to_one="the constant is off by +0.5")
class DensityNotNormalised(Normal):
    constant = 0.5


@mutant("visits that draw from the global generator", visits_follow_their_noise="draw from its noise")
class GlobalVisits(Normal):
    @staticmethod
    def visit(x, noise):
        return x + 0.01 * torch.randn_like(x)


@mutant("no validation split", splits_are_three="the splits are")
class TwoSplits(Normal):
    def splits(self):
        found = super().splits()
        return {"train": found["train"], "test": found["test"]}


@mutant("rows that are declared images", images_have_three_dimensions="(channels, height, width)")
class FlatImages(Normal):
    provides = frozenset({"image"})


@mutant("a raw file without its checksum", raw_files_are_declared="64 hexadecimal digits")
class NoChecksum(Normal):
    files = (RawFile("somewhere/data.csv", "", "https://example.org/data.csv"),)
