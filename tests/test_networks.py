"""The bodies, alone and inside every component that offers them."""

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from lvmbench import Refusal, network
from lvmbench.networks import _BODIES

IMAGES = [(1, 8, 8), (3, 7, 5), (1, 28, 28), (2, 1, 9)]


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("image", IMAGES, ids=str)
@pytest.mark.parametrize("body", _BODIES)
def test_shapes_follow_source_and_target(body, image, layers):
    down = network(body, image, (2, 5), hidden=16, layers=layers)
    assert down(torch.zeros(3, 4, *image)).shape == (3, 4, 2, 5)
    up = network(body, (5,), (2, *image), hidden=16, layers=layers)
    assert up(torch.zeros(3, 4, 5)).shape == (3, 4, 2, *image)


def test_convolutions_need_an_image():
    with pytest.raises(Refusal, match=r"images of shape .* maps \(20,\) to \(2, 5\).*network=mlp"):
        network("conv", (20,), (2, 5), hidden=16, layers=2)


def test_a_convolution_sees_neighbours_alone():
    """One pixel of the input reaches a window of the first convolution's output only."""
    body = network("conv", (1, 8, 8), (4,), hidden=16, layers=1).body
    x = torch.zeros(2, 1, 8, 8)
    x[1, 0, 0, 0] = 1.0
    first = body.convolutions[0](x)
    moved = (first[1] - first[0]).abs().sum(0) > 0
    assert moved[0, 0]
    assert not moved[1:].any()
    assert not moved[:, 1:].any()


@pytest.mark.parametrize("body", _BODIES)
def test_bodies_run_stacked(body):
    """Under ``vmap`` over stacked weights, as a pack trains them, each gives what it gives alone."""
    for source, target in (((1, 8, 8), (2, 3)), ((3,), (1, 8, 8))):
        several = [network(body, source, target, hidden=16, layers=2) for _ in range(3)]
        weights, buffers = stack_module_state(several)
        x = torch.randn(3, 7, *source)
        stacked = vmap(lambda w, b, x, net=several[0]: functional_call(net, (w, b), (x,)))(
            weights, buffers, x
        )
        alone = torch.stack([net(row) for net, row in zip(several, x, strict=True)])
        torch.testing.assert_close(stacked, alone, rtol=1e-4, atol=1e-5)


def test_a_residual_body_begins_near_linear():
    body = network("residual", (4,), (3,), hidden=32, layers=5)
    x = torch.randn(10, 4)
    shallow = body.last(torch.nn.functional.silu(body.first(x)))
    torch.testing.assert_close(body(x), shallow, rtol=0, atol=0.05)
