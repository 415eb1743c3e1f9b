"""The generated shapes: what is drawn, and that the factors say so."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lvmbench import UserError
from lvmbench_plugins.datasets.shapes import FACTORS, SHAPES, Shapes


def everything(source: Shapes) -> tuple[Tensor, Tensor]:
    """All images, from 0 to 1, and their factors."""
    splits = list(source.load().splits.values())
    return torch.cat([s.values[:, 0] for s in splits]), torch.cat([s.factors for s in splits])


def test_sizes_names_and_capabilities():
    data = Shapes().load()
    assert data.factor_names == FACTORS
    assert data.capabilities == {"binary", "complete", "unit", "labels", "factors", "image", "levels"}
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 3071,
        "validation": 438,
        "test": 879,
    }
    for split in data.splits.values():
        assert split.x.shape[1:] == (1, 16, 16)
        assert torch.equal(split.labels, split.factors[:, 0])
        assert set(split.x.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("binarize", ["threshold", "none"])
def test_no_image_comes_twice(binarize):
    images, factors = everything(Shapes(binarize=binarize))
    assert len(images.flatten(1).unique(dim=0)) == len(images)
    assert len(factors.unique(dim=0)) == len(factors)


def test_all_combinations_differ_where_there_are_pixels_enough():
    images, factors = everything(Shapes(size=32, orientations=4, positions=4))
    assert len(images) == 3 * 3 * 4 * 4 * 4
    for column, count in enumerate((3, 3, 4, 4, 4)):
        assert factors[:, column].bincount().tolist() == [len(factors) // count] * count


def test_areas_are_those_of_the_shapes():
    """The covered pixels of a radius r: 2 r^2, pi r^2 / 2 and 3 sqrt(3) r^2 / 4, within the grid's 3%."""
    images, factors = everything(Shapes(size=64, scales=2, orientations=3, positions=2, binarize="none"))
    units = torch.tensor([2.0, math.pi / 2, 3 * math.sqrt(3) / 4])
    radius = 16 * torch.tensor([0.6, 1.0])[factors[:, 1]]
    expected = units[factors[:, 0]] * radius**2
    assert images.sum((1, 2)).numpy() == pytest.approx(expected.numpy(), rel=0.03)


def test_positions_are_those_of_the_centres():
    """The centre of mass is the position, for these shapes are balanced; within a tenth of a pixel."""
    images, factors = everything(Shapes(size=32, orientations=2, positions=3, binarize="none"))
    at = torch.arange(32) + 0.5
    mass = images.sum((1, 2))
    for axis, column in ((1, 3), (2, 4)):
        centre = (images.sum(axis) * at).sum(1) / mass
        expected = torch.tensor([8.0, 16.0, 24.0])[factors[:, column]]
        assert centre.numpy() == pytest.approx(expected.numpy(), abs=0.1)


@pytest.mark.parametrize("kind", range(3))
def test_a_shape_looks_the_same_after_its_own_angle_and_no_earlier(kind):
    covers, period = SHAPES[kind]
    axis = torch.linspace(-1, 1, 301, dtype=torch.float64)
    u, v = torch.meshgrid(axis, axis, indexing="xy")

    def turned(angle: float) -> Tensor:
        c, s = math.cos(angle), math.sin(angle)
        return covers(c * u + s * v, c * v - s * u)

    changed = [(turned(0) ^ turned(period * k / 8)).double().mean().item() for k in range(9)]
    assert changed[0] == 0
    assert changed[8] < 0.002
    assert min(changed[1:8]) > 0.02


def test_the_same_at_every_load_and_other_splits_with_another_seed():
    first, again, other = (Shapes(positions=4, seed=seed).load() for seed in (0, 0, 1))
    assert first.checksum == again.checksum != other.checksum
    (one, _), (two, _) = everything(Shapes(positions=4)), everything(Shapes(positions=4, seed=1))
    assert sorted(one.flatten(1).tolist()) == sorted(two.flatten(1).tolist())


def test_too_few_images_are_a_users_error():
    with pytest.raises(UserError, match="3 different images; at least 10 are needed"):
        Shapes(scales=1, orientations=1, positions=1).load()
