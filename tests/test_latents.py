"""Latent spaces: what is read, what is split, and what cannot be."""

import pytest
import torch

from lvmbench import LatentSpace

Z = torch.arange(2 * 3 * 12.0)


def test_the_decoder_reads_the_first_layer():
    space, z = LatentSpace.layered(5, 4, 3), Z.reshape(2, 3, 12)
    bottom, middle, top = space.split(z)
    assert torch.equal(space.read(z), bottom)
    assert space.visible == LatentSpace((5,))
    assert [layer.shape[-1] for layer in (bottom, middle, top)] == [5, 4, 3]
    assert torch.equal(torch.cat([bottom, middle, top], -1), z)


def test_steps_are_the_first_dimension():
    space, z = LatentSpace((4, 3), steps=4), Z.reshape(2, 3, 4, 3)
    assert torch.equal(torch.stack(space.split(z), -2), z)
    assert (space.read(z) is z, space.visible) == (True, space)


def test_a_flat_space_is_all_read():
    space, z = LatentSpace((2, 6), "one_hot"), Z.reshape(3, 2, 2, 6)[:, 0]
    assert (space.read(z) is z, space.split(z)[0] is z, space.visible) == (True, True, space)


def test_layers_of_bits_can_be_enumerated():
    space = LatentSpace((3,), "binary", layers=(2, 1))
    assert (space.size, space.visible.size) == (8, 4)
    assert space.values(torch.zeros(())).shape == (8, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_shape": (5,), "layers": (3, 3)},
        {"event_shape": (3,), "layers": (3, 0)},
        {"event_shape": (2, 3), "support": "one_hot", "layers": (2, 1)},
        {"event_shape": (3, 2), "steps": 4},
        {"event_shape": (3, 3), "steps": 3, "layers": (2, 1)},
    ],
    ids=["another sum", "an empty layer", "choices cut in two", "other steps", "layers in steps"],
)
def test_what_does_not_make_up_z_is_refused(wrong):
    with pytest.raises(ValueError, match="do not make up z of shape"):
        LatentSpace(**wrong)
