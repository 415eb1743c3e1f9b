"""The door that all data come through:
what is refused, with its place, and what is said of what is let in.
"""

import dataclasses
import math

import pytest
import torch
from torch import nn

import lvmbench
from lvmbench import Data, Decoder, DiagonalNormal, Distribution, Split, Stream, UserError
from lvmbench.checks import check
from lvmbench.data.columns import RESOLUTION, ROUNDING, atoms, coarse, remote
from lvmbench.errors import DataError

SIZES = {"train": 40, "validation": 10, "test": 20}


def normal(*shape):
    return Stream.seeded(0, "door", shape).normal(shape)


def splits(make=lambda x: x, **fields):
    """Splits of two normal values, changed, with what is made for each split."""
    parts = {name: normal(size, 2) for name, size in SIZES.items()}
    return {
        n: Split(make(x.clone()), **{k: v(len(x)) if callable(v) else v for k, v in fields.items()})
        for n, x in parts.items()
    }


def spoiled(value, row=3, column=1):
    def spoil(x):
        x[row, column] = value
        return x

    return spoil


def bits(x):
    return (x > 0).to(torch.uint8)


def zeros(*shape, **options):
    return lambda rows: torch.zeros(rows, *shape, dtype=torch.int64, **options)


ONE = {name: Split(normal(size, 2)) for name, size in SIZES.items()}
REFUSED = {
    "no such support": (
        {"support": "grey"},
        "support 'grey' is not known; it is one of binary, unit, count, real",
    ),
    "no licence": ({"licence": ""}, "there is no licence; say"),
    "no validation": (
        {"splits": {"train": ONE["train"], "test": ONE["test"]}},
        "the splits are train, test; they are",
    ),
    "another split": (
        {"splits": {**ONE, "holdout": ONE["test"]}},
        "the splits are train, validation, test, holdout",
    ),
    "a bare tensor": (
        {"splits": {**ONE, "test": normal(5, 2)}},
        r"split 'test' is a Tensor; give Split\(x, labels\)",
    ),
    "an array": (
        {"splits": {**ONE, "test": Split(normal(5, 2).numpy())}},
        "x of 'test' is a ndarray; it is a torch",
    ),
    "empty": (
        {"splits": {**ONE, "test": Split(normal(0, 2))}},
        r"x of 'test' has shape \(0, 2\); it is rows",
    ),
    "no event": ({"splits": {**ONE, "test": Split(normal(5))}}, r"x of 'test' has shape \(5,\); it is rows"),
    "another width": ({"splits": {**ONE, "test": Split(normal(5, 3))}}, "the shapes of a datum differ"),
    "complex": ({"splits": splits(lambda x: x + 0j)}, "x of 'train' is torch.complex64; use"),
    "bfloat16": ({"splits": splits(lambda x: x.bfloat16())}, "x of 'train' is torch.bfloat16; use"),
    "with gradients": (
        {"splits": splits(lambda x: x.requires_grad_())},
        r"not plain data in memory; use .detach\(\)",
    ),
    "no scale": ({"splits": splits(scale=math.nan)}, "scale of 'train' is nan; it is what"),
    "NaN": (
        {"splits": splits(spoiled(math.nan))},
        r"x\[3, 1\] of 'train' is nan; if it was not observed say so with Split",
    ),
    "infinite": ({"splits": splits(spoiled(-math.inf))}, r"x\[3, 1\] of 'train' is -inf; fill or drop"),
    "too large": (
        {"splits": splits(lambda x: spoiled(1e300)(x.double()))},
        r"x\[3, 1\] of 'train' is inf; fill",
    ),
    "a named column": (
        {"splits": splits(spoiled(math.nan)), "columns": ("width", "height")},
        r"x\[3, 1\] of 'train' \(column 'height'\) is nan",
    ),
    "255 as binary": (
        {"splits": splits(lambda x: bits(x) * 255), "support": "binary"},
        r"x\[\d+, \d\] of 'train' is 255; support 'binary' is 0 or 1: set scale",
    ),
    "grey as binary": (
        {"splits": splits(torch.sigmoid), "support": "binary"},
        r"x\[0, 0\] of 'train' is 0\.\d+; support 'binary' is 0 or 1",
    ),
    "grey tests of dynamic data": (
        {"splits": splits(torch.sigmoid), "support": "binary", "visit": lambda x, noise: x},
        r"x\[0, 0\] of 'validation' is 0\.\d+; support 'binary' is 0 or 1",
    ),
    "dynamic data above 1": (
        {"splits": splits(lambda x: bits(x) * 2), "support": "binary", "visit": lambda x, noise: x},
        r"of 'train' is 2; support 'binary'",
    ),
    "outside of the unit": (
        {"support": "unit"},
        r"x\[\d+, \d\] of 'train' is .*; support 'unit' is from 0 to 1",
    ),
    "fractions as counts": (
        {"splits": splits(torch.abs), "support": "count"},
        "support 'count' is a whole number",
    ),
    "negative counts": ({"splits": splits(torch.round), "support": "count"}, r"is -\d; support 'count'"),
    "huge counts": (
        {"splits": splits(lambda x: bits(x).long() + 2**24), "support": "count"},
        "is 1.67772e.07; support 'count'",
    ),
    "labels of other rows": (
        {"splits": splits(labels=torch.zeros(40, dtype=torch.int64))},
        r"labels of 'validation' have",
    ),
    "labels in columns": (
        {"splits": splits(labels=zeros(1))},
        r"labels of 'train' have shape \(40, 1\); it is \(40,\)",
    ),
    "labels in floating point": (
        {"splits": splits(labels=torch.zeros)},
        "labels of 'train' are torch.float32; use int64",
    ),
    "negative labels": (
        {"splits": splits(labels=lambda n: torch.arange(n) - 2)},
        r"labels of 'train': \[0\] is -2; they are counted from 0",
    ),
    "factors in a row": (
        {"splits": splits(factors=zeros())},
        r"factors of 'train' have shape \(40,\); they are rows",
    ),
    "factors without a name": (
        {"splits": splits(factors=zeros(2)), "factor_names": ("size",)},
        r"factors of 'train' have shape \(40, 2\); it is \(40, 1\)",
    ),
    "factors here and there": (
        {"splits": {**splits(factors=zeros(2)), "test": Split(normal(5, 2), factors=zeros(3)(5))}},
        "the number of factors differs between splits",
    ),
    "names of no factors": ({"factor_names": ("size",)}, "factor_names are given, factors are not"),
    "names of other columns": (
        {"columns": ("a", "b", "c")},
        r"3 columns are named, a datum has shape \(2,\)",
    ),
    "flat images": ({"provides": frozenset({"image"})}, r"a datum has shape \(2,\); an image is channels"),
    "labels only said": (
        {"provides": frozenset({"labels"})},
        "provides names labels; that follows from the data",
    ),
    "far from zero": (
        {"splits": splits(lambda x: x.double() + 1e6)},
        "too far from 0 for its spread: single",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_is_refused_in_one_line_with_the_place(case):
    changes, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as error:
        Data(**{"splits": ONE, "support": "real", "licence": "none", **changes})
    assert str(error.value).startswith("data: ")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
def test_any_plain_type_is_taken(dtype):
    assert Data(splits(lambda x: (x > 0).to(dtype)), "binary", "none").summary.mean.dtype == torch.float32


def test_dynamic_binarisation_has_grey_training_values_only():
    parts = {
        **splits(bits),
        "train": Split((torch.sigmoid(normal(40, 2)) * 255).to(torch.uint8), scale=1 / 255),
    }
    assert Data(parts, "binary", "none", visit=lambda x, noise: x.round()).capabilities == {
        "binary",
        "unit",
        "complete",
    }
    with pytest.raises(DataError, match="of 'train' is 0"):
        Data(parts, "binary", "none")


def test_scaled_bytes_reach_one_and_no_further():
    top = {
        name: Split(torch.full((9, 2), k, dtype=torch.uint8), scale=1 / k)
        for name, k in zip(SIZES, (255, 49, 3), strict=True)
    }
    Data(top, "unit", "none")
    with pytest.raises(DataError, match="of 'test' is 1.3"):
        Data({**top, "test": Split(torch.full((9, 2), 4, dtype=torch.uint8), scale=1 / 3)}, "unit", "none")


def test_the_order_of_splits_does_not_matter():
    data = Data(dict(reversed(ONE.items())), "real", "none")
    assert list(data.splits) == ["train", "validation", "test"]
    assert data.checksum == Data(ONE, "real", "none").checksum


def test_counts_are_counts_and_nothing_else():
    counts = Data(splits(lambda x: x.abs().mul(3).round()), "count", "none")
    assert counts.capabilities == {"count", "complete"}


def shades(white, **fields):
    """Grey values stored as bytes from 0 to ``white``."""
    return splits(lambda x: (x.sigmoid() * white).round().to(torch.uint8), **fields)


LEVELS = {
    "zeros and ones": (lambda: Data(splits(bits), "binary", "mine"), 2),
    "bytes": (lambda: Data(shades(255, scale=1 / 255), "unit", "mine"), 256),
    "sixteenths": (lambda: Data(shades(16, scale=1 / 16), "unit", "mine"), 17),
    "bytes that visits make continuous": (
        lambda: Data(shades(16, scale=1 / 16), "unit", "mine", lambda x, noise: x),
        0,
    ),
    "bytes of any scale": (lambda: Data(shades(9, scale=0.1), "unit", "mine"), 11),
    "bytes whose scale is no share of 1": (lambda: Data(shades(3, scale=0.3), "unit", "mine"), 0),
    "fractions": (lambda: Data(splits(torch.sigmoid), "unit", "mine"), 0),
    "counts": (lambda: Data(splits(lambda x: bits(x) * 7.0), "count", "mine"), 8),
    "counts above a byte": (lambda: Data(splits(lambda x: bits(x) * 256.0), "count", "mine"), 0),
    "real values": (lambda: Data(splits(), "real", "mine"), 0),
}


@pytest.mark.parametrize("case", LEVELS.values(), ids=LEVELS)
def test_how_many_levels_there_are_is_what_the_stored_values_say(case):
    make, levels = case
    data = make()
    assert data.levels == data.summary.levels == levels
    assert ("levels" in data.capabilities) == (levels > 0)
    if levels:
        values = data.splits["train"].values / data.summary.step
        torch.testing.assert_close(values, values.round())
        assert 0 <= values.min() <= values.max() <= levels - 1 + 1e-3


def test_the_door_is_where_python_hands_in_data_too():
    """A mistake that trained to an ELBO of +132,585."""
    with pytest.raises(UserError, match="is 255; support 'binary' is 0 or 1"):
        lvmbench.fit(
            data=Data(splits(lambda x: bits(x) * 255), "binary", "none"),
            prior="standard_normal",
            posterior="gaussian",
            decoder="bernoulli",
            objective="elbo",
        )


def test_an_array_is_no_data_and_is_not_shown_whole():
    parts = {"prior": "standard_normal", "posterior": "gaussian", "decoder": "gaussian", "objective": "elbo"}
    with pytest.raises(UserError, match=r"^dataset: array\(.{50,60} is no Dataset; .*, or Data of tensors$"):
        lvmbench.fit(data=normal(500, 2).numpy(), **parts)


# Single precision


def test_the_limit_is_where_single_precision_costs_a_millionth_of_a_nat():
    """Rounding to steps h moves the mean log density of N(m, 1) by less than h^2 and, of n draws,
    by 5 h / sqrt(12 n).
    """
    n, mean = 200_000, 0.99 * RESOLUTION / ROUNDING
    x = mean + Stream.seeded(0, "limit", dtype=torch.float64).normal((n, 1))
    assert coarse(x) == []
    exact, single = (
        DiagonalNormal(torch.full((1,), mean, dtype=t), torch.zeros(1, dtype=t))
        .log_prob(x.to(t))
        .double()
        .mean()
        for t in (torch.float64, torch.float32)
    )
    assert abs(single - exact) < RESOLUTION**2 + 5 * RESOLUTION / math.sqrt(12 * n)


def column(values):
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1)


UNBOUNDED = "a density grows without bound there"
SPREAD = torch.linspace(-3, 3, 1001, dtype=torch.float64)
PRECISE = {
    "years": (SPREAD * 10 + 2000, True),
    "a million, of unit spread": (SPREAD + 1e6, False),
    "minus a million, of unit spread": (SPREAD - 1e6, False),
    "a million, of a wide spread": (SPREAD * 1e3 + 1e6, True),
    "tiny": (SPREAD * 1e-30, True),
    "seconds of a day": (SPREAD * 1e4 + 1.7e9, False),
    "seconds of twenty years": (SPREAD * 1e8 + 1.7e9, True),
    "far off but for an outlier": (torch.cat([SPREAD + 1e9, torch.zeros(1)]), False),
    "near zero but for an outlier": (torch.cat([SPREAD * 1e-9, torch.full((1,), 1e6)]), True),
    "mostly zeros": (torch.cat([torch.zeros(3000), SPREAD + 5]), True),
    "constant": (torch.full((9,), 0.1), True),
}


@pytest.mark.parametrize("case", PRECISE)
def test_what_single_precision_tells_apart_is_a_matter_of_spread(case):
    values, enough = PRECISE[case]
    assert coarse(column(values)) == ([] if enough else [(0,)])


def test_of_images_the_place_is_named():
    x = normal(50, 1, 2, 2).double()
    x[:, 0, 1, 0] += 1e7
    assert coarse(x) == [(0, 1, 0)]


# What is said of data that are let in


def test_nothing_is_said_of_ordinary_data():
    labels = {"train": 4, "validation": 2, "test": 3}
    parts = {n: Split(s.x, torch.arange(len(s)) % labels[n]) for n, s in ONE.items()}
    assert Data(parts, "real", "none").remarks == ()


ATOMS = {
    "whole numbers": (SPREAD.round(), True),
    "one value in ten": (torch.where(torch.arange(1001) % 10 == 0, 7.25, SPREAD), True),
    "one value in twenty": (torch.where(torch.arange(1001) % 20 == 0, 7.25, SPREAD), False),
    "decimals": (SPREAD.mul(100).round() / 100, False),
    "constant": (torch.full((1001,), 0.5), True),
    "two of three": (torch.tensor([0.5, 0.5, 0.25]), False),
}


@pytest.mark.parametrize("case", ATOMS)
def test_columns_on_which_a_density_has_no_bound_are_found(case):
    values, found = ATOMS[case]
    assert atoms(column(values)) == ([(0,)] if found else [])


@pytest.mark.parametrize(("mean", "far"), [(0.0, False), (29.0, False), (31.0, True), (-1e3, True)])
def test_columns_from_which_networks_learn_slowly_are_found(mean, far):
    assert remote(column(SPREAD / SPREAD.std(correction=0) + mean)) == ([(0,)] if far else [])
    assert remote(column(torch.full((9,), 5.0))) == []


def test_a_reader_is_told_what_the_values_and_the_labels_say():
    x = {name: Split(s.x.clone(), zeros()(len(s))) for name, s in ONE.items()}
    x["test"] = Split(torch.cat([ONE["test"].x[:17], ONE["train"].x[:3]]), torch.arange(20))
    for split in x.values():
        split.x[:, 1] = 2.5
    data = Data(x, "real", "none", columns=("width", "site"), notes=("read from a sheet",))
    assert data.remarks == (
        "read from a sheet",
        f"column site: whole numbers only, or one value in a tenth of the rows or more; {UNBOUNDED}",
        "all 40 labels of train are the same: they tell nothing apart",
        "all 10 labels of validation are the same: they tell nothing apart",
        "each of the 20 rows of test has a label of its own: labels group nothing",
        "3 of 20 rows of test equal one of train",
    )


def test_labels_and_factors_that_nothing_can_use_are_said():
    parts = {**ONE, "train": Split(ONE["train"].x, torch.arange(40) % 2, factors=zeros(2)(40))}
    assert Data({**parts, "test": parts["train"]}, "real", "none").remarks[:2] == (
        "labels are in train and test only: nothing uses them",
        "factors are in train and test only: nothing uses them",
    )


def test_masses_have_no_bound_to_lose():
    counts = Data(splits(lambda x: x.abs().mul(9).round()), "count", "none")
    assert not any("density" in remark for remark in counts.remarks)


def test_a_change_of_what_is_admitted_is_admitted_anew():
    with pytest.raises(DataError):
        dataclasses.replace(Data(ONE, "real", "none"), support="binary")


class Poisson(Distribution):
    """Independent counts."""

    traits = frozenset({"density"})
    support = "count"

    def __init__(self, log_rate):
        self.log_rate = log_rate

    def log_prob(self, value):
        return (value * self.log_rate - self.log_rate.exp() - (value + 1).lgamma()).flatten(-2).sum(-1)

    def sample_and_log_prob(self, noise, samples):
        u = noise.uniform((samples, *self.log_rate.shape)).unsqueeze(-1)
        below = torch.special.gammaincc(torch.arange(1.0, 60.0).to(u), self.log_rate.exp().unsqueeze(-1))
        x = (u > below).sum(-1).to(u)
        return x, self.log_prob(x)


class PoissonDecoder(Decoder):
    """Counts of 3 by 4, whose logarithms are linear in z."""

    distribution = Poisson
    requires = frozenset({"dataset.count", "prior.real"})

    def __init__(self, data, space):
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(space.event_shape[0], data.mean.numel()))
        self.offset = nn.Parameter(data.mean.clamp(0.1).log())

    def forward(self, z):
        return Poisson((z @ self.weight).unflatten(-1, self.offset.shape) + self.offset)


def test_the_checks_have_counts_for_a_decoder_of_counts():
    names = ["log_prob_has_its_shape", "density_gradient_agrees_with_differences"]
    assert {r.check: r.status for r in check(PoissonDecoder, only=names)} == dict.fromkeys(names, "passed")
