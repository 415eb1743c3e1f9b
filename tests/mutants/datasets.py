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


@mutant("values outside the declared support", data_are_admitted="support 'unit' is from 0 to 1")
class OutsideSupport(Normal):
    support = "unit"


@mutant("grey values, declared binary", data_are_admitted="support 'binary' is 0 or 1")
class NotBinary(Normal):
    support = "binary"

    def rows(self, name, size):
        return super().rows(name, size).sigmoid()


@mutant("bytes, declared binary", data_are_admitted="x[0, 0] of 'train' is 255")
class Bytes(Normal):
    support = "binary"

    def rows(self, name, size):
        return torch.full((size, 2), 255, dtype=torch.uint8)


@mutant("fractions, declared counts", data_are_admitted="a whole number from 0 to 16777215")
class FractionsAsCounts(Normal):
    support = "count"

    def rows(self, name, size):
        return super().rows(name, size).abs()


@mutant("a value that is missing", data_are_admitted="x[7, 1] of 'test' is nan")
class Missing(Normal):
    def rows(self, name, size):
        x = super().rows(name, size)
        if name == "test":
            x[7, 1] = torch.nan
        return x


@mutant("a mean of a million, in double precision", data_are_admitted="too far from 0 for its spread")
class FarFromZero(Normal):
    def rows(self, name, size):
        return super().rows(name, size).double() + 1e6


@mutant("a split without rows", data_are_admitted="x of 'validation' has shape (0, 2)")
class EmptySplit(Normal):
    def rows(self, name, size):
        return super().rows(name, 0 if name == "validation" else size)


@mutant("splits of different widths", data_are_admitted="the shapes of a datum differ")
class OtherWidth(Normal):
    def rows(self, name, size):
        return super().rows(name, size)[:, : 1 + (name == "train")]


@mutant("factors of other rows", data_are_admitted="factors of 'train' have shape (299, 1)")
class FactorsTooFew(Normal):
    def splits(self):
        found = super().splits()
        return {name: Split(s.x, s.labels, factors=s.labels[1:, None]) for name, s in found.items()}


@mutant("a label for all rows but one", data_are_admitted="labels of 'train' have shape (299,)")
class LabelsTooFew(Normal):
    def labels(self, x):
        return super().labels(x)[1:]


@mutant("a negative label", data_are_admitted="they are counted from 0")
class NegativeLabel(Normal):
    def labels(self, x):
        return super().labels(x) - 1


@mutant("labels are declared, and there are none", data_are_admitted="provides names labels")
class LabelsDeclared(Normal):
    provides = frozenset({"labels"})

    def labels(self, x):
        return None


class Narrowed(Split):
    def decode(self, x):
        return super().decode(x)[:, :1]


@mutant("decoding that loses a value", data_are_admitted="decode of 'train' gives")
class LosesInDecoding(Normal):
    def splits(self):
        return {name: Narrowed(s.x, s.labels) for name, s in super().splits().items()}


@mutant("visits that leave the support", visits_follow_their_noise="a visit leaves the support")
class GreyVisits(Normal):
    support = "binary"

    @staticmethod
    def visit(x, noise):
        return x

    def rows(self, name, size):
        u = super().rows(name, size).sigmoid()
        return u if name == "train" else u.round()


@mutant("a third of the test rows are in train", splits_share_no_rows="split the rows first")
class LeaksTestRows(Normal):
    def splits(self):
        found = super().splits()
        leaked = torch.cat([found["train"].x, found["test"].x[:20]])
        return {**found, "train": Split(leaked, self.labels(leaked))}


@mutant("labels in floating point", data_are_admitted="use int64")
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


@mutant("no validation split", data_are_admitted="the splits are train, test; they are")
class TwoSplits(Normal):
    def splits(self):
        found = super().splits()
        return {"train": found["train"], "test": found["test"]}


@mutant("rows that are declared images", data_are_admitted="an image is channels, height, width")
class FlatImages(Normal):
    provides = frozenset({"image"})


@mutant("a raw file without its checksum", raw_files_are_declared="64 hexadecimal digits")
class NoChecksum(Normal):
    files = (RawFile("somewhere/data.csv", "", "https://example.org/data.csv"),)
