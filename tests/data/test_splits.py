"""Splits: what is decoded, a part at a time."""

from __future__ import annotations

import math

import pytest
import torch

from lvmbench import Data, Split
from lvmbench.data import rules


def test_batches_are_the_values_a_part_at_a_time():
    split = Split(torch.arange(30, dtype=torch.uint8).reshape(10, 3), scale=0.5, missing=7)
    parts = list(split.batches(4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat(parts).nan_to_num(-1), split.values.nan_to_num(-1))
    assert math.isnan(parts[0][2, 1])


@pytest.mark.parametrize(
    ("code", "found"), [(7, [2]), (255.0, [1]), (-1, []), (256, []), (0.5, []), (float("nan"), [])]
)
def test_a_code_that_no_byte_is_means_nothing(code, found):
    x = torch.tensor([[0], [255], [7]], dtype=torch.uint8)
    assert Split(x, missing=code).unobserved(x).flatten().nonzero().flatten().tolist() == found


@pytest.mark.parametrize("size", [1, rules.CHUNK, rules.CHUNK + 1, 3 * rules.CHUNK - 5])
def test_the_mean_is_that_of_all_training_data(size):
    x = torch.randint(0, 256, (size, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    few = Split(x[:1], scale=1 / 255)
    summary = Data({"train": Split(x, scale=1 / 255), "validation": few, "test": few}, "unit", "none").summary
    torch.testing.assert_close(summary.mean, x.float().mean(0) / 255)
    assert summary.mean.dtype == torch.get_default_dtype()
