"""Frey Faces: the layout on a made file, the data where it is present."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lvmbench import UserError
from lvmbench.data.files import fetch
from lvmbench_plugins.datasets.frey_faces import FreyFaces, read_splits
from tests.plugins.pictures import need

FRAMES = 1965


def test_frames_are_stored_row_by_row_and_shuffled(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 560), np.uint8)
    np.savez_compressed(tmp_path / "made.npz", images=frames)
    splits = read_splits(tmp_path / "made.npz")
    assert {name: tuple(split.x.shape) for name, split in splits.items()} == {
        "train": (1565, 1, 28, 20),
        "validation": (200, 1, 28, 20),
        "test": (200, 1, 28, 20),
    }
    x = torch.cat([split.x for split in splits.values()])
    levels = (256 * x - 0.5).to(torch.uint8).flatten(1).numpy()
    assert torch.equal(x, (torch.from_numpy(levels).unflatten(1, (1, 28, 20)) + 0.5) / 256)
    assert not np.array_equal(levels, frames)
    assert sorted(map(bytes, levels)) == sorted(map(bytes, frames))


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"faces": np.zeros((4, 560))}, "holds faces .4, 560.; it must hold numbers: images .n, 560."),
        ({"images": np.zeros((560, 4))}, "holds images .560, 4."),
        ({}, "holds nothing"),
        ({"images": np.array([["a"] * 560])}, "holds images .1, 560.; it must hold numbers"),
        ({"images": np.array([{}])}, "is no .npz file that can be read .ValueError"),
    ],
)
def test_another_layout_is_refused_with_what_was_found(tmp_path, arrays, found):
    np.savez(tmp_path / "made.npz", **arrays)
    with pytest.raises(UserError, match=rf"raw file '{tmp_path}/made.npz' {found}") as error:
        read_splits(tmp_path / "made.npz")
    assert "\n" not in str(error.value)


def test_the_published_frames():
    need(FreyFaces)
    data = FreyFaces().load()
    x = torch.cat([split.x for split in data.splits.values()])
    assert len(x) == FRAMES
    levels = 256 * x.double() - 0.5
    assert (levels.min(), levels.max()) == (8, 238)
    assert levels.mean().item() == pytest.approx(154.461, abs=5e-4)
    assert data.capabilities == {"unit", "real", "complete", "image"}
    assert "near neighbours" in data.remarks[0]


def test_faces_stand_upright():
    """Neighbouring pixels are alike down and across, and a face is far more alike to its mirror image than to
    itself upside down.
    """
    need(FreyFaces)
    face = FreyFaces().load().splits["train"].x.double().mean((0, 1))
    mirrored, upside_down = (
        torch.corrcoef(torch.stack([face.flatten(), face.flip(axis).flatten()]))[0, 1] for axis in (1, 0)
    )
    assert mirrored > upside_down + 0.2


def test_test_frames_have_near_neighbours_in_train():
    """What the note says: the nearest frame in train is nearer than frames are to each other."""
    need(FreyFaces)
    splits = FreyFaces().load().splits
    train, test = (splits[name].x.flatten(1) for name in ("train", "test"))
    apart = torch.cdist(test, train)
    assert apart.amin(1).median() < apart.median() / 2


def test_the_file_is_made_as_it_says(tmp_path):
    need(FreyFaces)
    images = np.load(fetch(FreyFaces.files[0]))["images"]
    np.savez_compressed(tmp_path / "freyfaces.npz", images=images)
    assert np.array_equal(np.load(tmp_path / "freyfaces.npz")["images"], images)
