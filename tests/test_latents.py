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
    space, z = LatentSpace((4, 3), steps=4, context=5, shown=2), Z.reshape(2, 3, 4, 3)
    assert torch.equal(torch.stack(space.split(z), -2), z)
    assert (space.read(z) is z, space.visible, space.count) == (True, LatentSpace((5,)), 3)
    assert space.along(torch.zeros(7, 2, 9)) == LatentSpace((2, 3), steps=2, context=5, shown=2)


def test_steps_are_not_enumerated_as_sequences_differ_in_length():
    space = LatentSpace((2, 1), "binary", steps=2)
    assert (space.size, space.enumerable) == (4, False)


@pytest.mark.parametrize(
    "wrong", [{"steps": 4, "context": 2, "shown": 3}, {"context": 2}], ids=["more than there is", "no steps"]
)
def test_a_context_is_of_steps_and_shown_in_part(wrong):
    with pytest.raises(ValueError, match="of a context of 2 values the decoder cannot read"):
        LatentSpace((4, 3), **wrong)


def test_a_flat_space_is_all_read():
    space, z = LatentSpace((2, 6), "one_hot"), Z.reshape(3, 2, 2, 6)[:, 0]
    assert (space.read(z) is z, space.split(z)[0] is z, space.visible) == (True, True, space)


def test_layers_of_bits_can_be_enumerated():
    space = LatentSpace.layered(2, 1, support="binary")
    assert (space.size, space.visible.size) == (8, 4)
    assert space.values(torch.zeros(())).shape == (8, 3)


def test_the_decoder_reads_the_weights_of_a_stick():
    space, z = LatentSpace((3,), sticks=True), torch.randn(2, 3, 3, dtype=torch.float64)
    v = z.sigmoid()
    left = torch.cat([torch.ones(2, 3, 1), (1 - v).cumprod(-1)], -1)
    due = torch.cat([v, torch.ones(2, 3, 1)], -1) * left
    torch.testing.assert_close(space.read(z), due)
    torch.testing.assert_close(space.read(z).sum(-1), torch.ones(2, 3).double())
    assert (space.visible, space.split(z)[0] is z) == (LatentSpace((4,)), True)


def test_a_stick_broken_at_its_ends_keeps_gradients_finite():
    z = torch.tensor([-1e5, 1e5, 3.0, -1e5, 0.0], requires_grad=True)
    weights = LatentSpace((5,), sticks=True).read(z)
    assert weights.tolist() == [0, 1, 0, 0, 0, 0]
    weights.square().sum().backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_shape": (5,), "layers": (3, 3)},
        {"event_shape": (3,), "layers": (3, 0)},
        {"event_shape": (2, 3), "support": "one_hot", "layers": (2, 1)},
        {"event_shape": (3, 2), "steps": 4},
        {"event_shape": (3, 3), "steps": 3, "layers": (2, 1)},
        {"event_shape": (3, 3, 2), "steps": 3},
    ],
    ids=["another sum", "an empty layer", "choices in two", "other steps", "layers in steps", "of matrices"],
)
def test_what_does_not_make_up_z_is_refused(wrong):
    with pytest.raises(ValueError, match="do not make up z of shape"):
        LatentSpace(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_shape": (3, 2)},
        {"event_shape": (3,), "support": "binary"},
        {"event_shape": (3,), "layers": (2, 1)},
        {"event_shape": (3, 1), "steps": 3},
    ],
    ids=["no vector", "bits", "layers", "steps"],
)
def test_what_breaks_no_stick_is_refused(wrong):
    with pytest.raises(ValueError, match="sticks are not made of z of shape"):
        LatentSpace(**wrong, sticks=True)
