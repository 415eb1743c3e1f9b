"""The digits, and the four ways to make grey images binary."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from lvmbench import Bernoulli, Stream
from lvmbench.noise import Buffer
from lvmbench_plugins.datasets.digits import SIZES, Digits
from lvmbench_plugins.decoders.bernoulli import BernoulliDecoder
from lvmbench_plugins.decoders.gaussian import GaussianDecoder

MODES = ["threshold", "static", "dynamic", "none"]


def binomial_levels(ones: torch.Tensor, grey: torch.Tensor, trials: int) -> list[float]:
    """Counts of ones among ``trials`` draws a pixel are binomial, level by level: an exact test."""
    levels = [(grey * 16).round() == level for level in range(17)]
    counts = [(int(ones[at].sum()), int(at.sum()) * trials) for at in levels]
    return [stats.binomtest(*count, level / 16).pvalue for level, count in enumerate(counts)]


def suits(decoder: type, data) -> bool:
    return all(need.removeprefix("dataset.") in data.capabilities for need in decoder.requires)


@pytest.mark.parametrize("mode", MODES)
def test_sizes_types_and_range(mode):
    data = Digits(binarize=mode).load()
    for name, split in data.splits.items():
        grey = mode == "none" or (mode == "dynamic" and name == "train")
        assert split.x.shape == (SIZES[name], 1, 8, 8)
        assert split.labels.dtype == torch.int64
        assert (split.x.dtype, split.scale) == (torch.uint8, 1 / 16 if grey else 1.0)
        assert split.x.min() == 0
        assert split.values.max() == 1
    assert data.capabilities >= {"image", "labels", "unit"}


def test_the_splits_are_a_partition_of_scikit_learns_images():
    images, labels = load_digits(return_X_y=True)
    splits = Digits(binarize="none").load().splits.values()
    ours = torch.cat([torch.cat([s.values.flatten(1) * 16, s.labels[:, None]], 1) for s in splits])
    theirs = torch.cat([torch.tensor(images), torch.tensor(labels)[:, None]], 1)
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


@pytest.mark.parametrize("mode", MODES)
def test_fewer_training_images_are_the_first_ones(mode):
    few, every = (Digits(binarize=mode, **options).load().splits for options in ({"train": 7}, {}))
    assert torch.equal(few["train"].x, every["train"].x[:7])
    assert torch.equal(few["train"].labels, every["train"].labels[:7])
    assert all(torch.equal(few[name].x, every[name].x) for name in ("validation", "test"))


@pytest.mark.parametrize("mode", MODES)
def test_the_same_at_every_load_whatever_the_default_dtype(mode):
    first = Digits(binarize=mode).load().checksum
    torch.set_default_dtype(torch.float64)
    try:
        assert Digits(binarize=mode).load().checksum == first
    finally:
        torch.set_default_dtype(torch.float32)


def test_threshold_is_above_half():
    grey, binary = (Digits(binarize=mode).load().splits["train"].values for mode in ("none", "threshold"))
    assert torch.equal(binary, (grey > 0.5).to(torch.uint8))
    assert not binary[grey == 0.5].any()


@pytest.mark.parametrize("split", list(SIZES))
@pytest.mark.statistical("ones of each level of grey with its chance", "exact, binomial")
def test_static_is_one_bernoulli_draw(split, chance):
    grey, binary = (Digits(binarize=mode).load().splits[split].values for mode in ("none", "static"))
    chance.likely(*binomial_levels(binary, grey, 1))


def test_dynamic_validates_and_tests_on_the_static_sample():
    static, dynamic = (Digits(binarize=mode).load().splits for mode in ("static", "dynamic"))
    assert torch.equal(static["validation"].x, dynamic["validation"].x)
    assert torch.equal(static["test"].x, dynamic["test"].x)


@pytest.mark.statistical("ones of each level of grey with its chance", "exact, binomial")
def test_dynamic_visits_are_bernoulli_of_the_intensities(chance):
    data = Digits(binarize="dynamic").load()
    grey, noise = data.splits["train"].values, Stream.seeded(1, "visits")
    ones = torch.stack([data.visit(grey, noise) for _ in range(50)]).sum(0)
    chance.likely(*binomial_levels(ones, grey, 50))


def test_dynamic_visits_follow_their_noise():
    data = Digits(binarize="dynamic").load()
    grey, noise = data.splits["train"].values[:100], Stream.seeded(1, "visits")
    first, second = data.visit(grey, noise), data.visit(grey, noise)
    assert torch.equal(first, data.visit(grey, Stream.seeded(1, "visits")))
    assert not torch.equal(first, second)


def test_a_vectorised_visit_equals_each_of_its_visits():
    data = Digits(binarize="dynamic").load()
    grey, uniforms = (
        data.splits["train"].values[:6].unflatten(0, (2, 3)),
        Stream.seeded(1).uniform((2, 3 * 64)),
    )
    together = torch.vmap(lambda x, u: data.visit(x, Buffer(u[:0], u)))(grey, uniforms)
    alone = [data.visit(x, Buffer(u[:0], u)) for x, u in zip(grey, uniforms, strict=True)]
    assert torch.equal(together, torch.stack(alone))


def test_grey_digits_suit_continuous_decoders_and_binary_ones_suit_bernoulli():
    for mode in MODES:
        data = Digits(binarize=mode).load()
        assert suits(GaussianDecoder, data) == (mode == "none")
        assert suits(BernoulliDecoder, data) == (mode != "none")


def test_the_mean_of_dynamic_data_is_the_mean_of_its_visits():
    grey, dynamic = (Digits(binarize=mode).load().summary for mode in ("none", "dynamic"))
    assert torch.equal(dynamic.mean, grey.mean)
    assert dynamic.support == Bernoulli.support
