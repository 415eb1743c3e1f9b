"""Linear layers of a pack: inside and outside of vmap, with all derivatives, they are torch's own."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, stack_module_state, vmap
from zuko.nn import MaskedLinear

from lvmbench.training.stacked import stack_linears

SEEDS, ROWS, INPUTS, OUTPUTS = 3, 5, 4, 2
DERIVATIVES = {"first": grad, "all": jacrev, "second": lambda function: jacrev(jacrev(function))}
SHAPES = {"rows": (ROWS, INPUTS), "samples of rows": (2, ROWS, INPUTS), "one row": (INPUTS,)}


def both():
    """A network of three layers, one of them masked, and the same with layers that can be stacked, in double
    precision.
    """
    torch.manual_seed(0)
    masked = MaskedLinear(torch.ones(6, 6, dtype=torch.bool).tril())
    own = nn.Sequential(nn.Linear(INPUTS, 6), nn.Tanh(), masked, nn.Tanh(), nn.Linear(6, OUTPUTS)).double()
    stacked = copy.deepcopy(own)
    stack_linears(stacked)
    return own, stacked


@functools.cache
def states():
    """The stacked weights of some networks."""
    torch.manual_seed(1)
    return stack_module_state([both()[0].apply(scatter) for _ in range(SEEDS)])[0]


def scatter(layer):
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)


def of_all(network, x, **options):
    """What the networks with stacked weights give, each for its own x unless that is shared."""
    return vmap(lambda w, x: functional_call(network, w, (x,)), **options)(states(), x)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_stacked_layers_give_what_torchs_own_do_with_gradients(shape):
    x = torch.randn(SEEDS, *shape, dtype=torch.float64, requires_grad=True)
    found = []
    for network in both():
        weights = {name: w.detach().requires_grad_() for name, w in states().items()}
        out = vmap(lambda w, x, network=network: functional_call(network, w, (x,)))(weights, x)
        found.append((out, *torch.autograd.grad(out.sin().sum(), [x, *weights.values()])))
    for own, stacked in zip(*found, strict=True):
        torch.testing.assert_close(stacked, own, rtol=1e-12, atol=1e-12)


def test_x_may_be_shared_or_stacked_elsewhere():
    own, stacked = both()
    x = torch.randn(ROWS, SEEDS, INPUTS, dtype=torch.float64)
    for options in ({"in_dims": (0, 1)}, {"in_dims": (0, None)}):
        torch.testing.assert_close(of_all(stacked, x, **options), of_all(own, x, **options))


@pytest.mark.parametrize("what", DERIVATIVES.values(), ids=DERIVATIVES.keys())
def test_derivatives_inside_vmap_are_torchs_own(what):
    x = torch.randn(SEEDS, INPUTS, dtype=torch.float64)
    own, stacked = (
        vmap(lambda w, x, n=n: what(lambda x: functional_call(n, w, (x,)).sin().sum())(x))(states(), x)
        for n in both()
    )
    torch.testing.assert_close(stacked, own)


def test_derivatives_outside_of_vmap_are_torchs_own():
    x, _ = torch.randn(SEEDS, INPUTS, dtype=torch.float64), states()
    own, stacked = (jacrev(jacrev(lambda x, n=n: of_all(n, x).sin().sum()))(x) for n in both())
    torch.testing.assert_close(stacked, own)


def test_second_derivatives_go_through_a_backward_pass():
    x = torch.randn(SEEDS, INPUTS, dtype=torch.float64, requires_grad=True)
    found = []
    for network in both():
        (slope,) = torch.autograd.grad(of_all(network, x).sin().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), x)[0])
    torch.testing.assert_close(*found)


def test_vmap_within_vmap_is_torchs_own():
    x = torch.randn(SEEDS, ROWS, INPUTS, dtype=torch.float64)
    own, stacked = (
        vmap(lambda w, x, n=n: vmap(lambda x: functional_call(n, w, (x,)))(x))(states(), x) for n in both()
    )
    torch.testing.assert_close(stacked, own)


def test_without_vmap_they_are_torchs_own():
    own, stacked = both()
    x = torch.randn(ROWS, INPUTS, dtype=torch.float64, requires_grad=True)
    assert torch.equal(stacked(x), own(x))
    torch.testing.assert_close(*(torch.autograd.grad(n(x).sin().sum(), x)[0] for n in (stacked, own)))
