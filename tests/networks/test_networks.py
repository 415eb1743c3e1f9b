"""The bodies, alone and inside every component that offers them."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from lvmbench import Data, Refusal, Split, network
from lvmbench.combinations.combination import Combination
from lvmbench.combinations.parts import build
from lvmbench.networks import _BODIES
from lvmbench.options import options_model
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref
from lvmbench.training.loop import Budget, train

CATALOGUE = load_catalogue()
FAMILIES = [
    (kind, name)
    for kind in ("posterior", "decoder")
    for name in CATALOGUE.names(kind)
    if "network" in options_model(CATALOGUE.entry(kind, name).load()).model_fields
]
PRIORS = {
    "bernoulli": "bernoulli",
    "categorical": "categorical",
    "relaxed": "bernoulli",
    "ladder": "hierarchy",
    "filtering": "linear_dynamics",
    "smoothing": "linear_dynamics",
}

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


@pytest.mark.parametrize(
    ("body", "activation"),
    [("mlp", nn.SiLU()), ("tanh", nn.Tanh()), ("relu", nn.ReLU()), ("leaky_relu", nn.LeakyReLU(0.01))],
)
def test_layers_have_the_activation_of_their_name_between_them(body, activation):
    net, x = network(body, (4,), (3,), hidden=16, layers=2), torch.randn(10, 4)
    first, second, last = net.linears
    torch.testing.assert_close(net(x), last(activation(second(activation(first(x))))))


def test_a_gated_layer_lets_pass_what_its_gate_says():
    net, x = network("gated", (4,), (3,), hidden=16, layers=1), torch.randn(10, 4)
    value, gate = net.gated[0](x).chunk(2, -1)
    torch.testing.assert_close(net(x), net.last(value * gate.sigmoid()))


@pytest.mark.parametrize(("body", "deviation"), [("tanh", (2 / 1200) ** 0.5), ("gated", (2 / 800) ** 0.5)])
def test_bodies_begin_with_the_weights_that_suit_them(body, deviation):
    """Glorot's variance 2 / (n + m) and He's 2 / n, of n = 800 units to m = 400."""
    torch.manual_seed(0)
    first = next(iter(network(body, (800,), (3,), hidden=400, layers=1).parameters()))
    assert first.std().item() == pytest.approx(deviation, rel=0.01)


def test_a_residual_body_begins_near_linear():
    body = network("residual", (4,), (3,), hidden=32, layers=5)
    x = torch.randn(10, 4)
    shallow = body.last(torch.nn.functional.silu(body.first(x)))
    torch.testing.assert_close(body(x), shallow, rtol=0, atol=0.05)


def suited(kind, name, images):
    """The images, or sequences of three of them to a posterior of steps."""
    if kind != "posterior" or "prior.steps" not in CATALOGUE.entry(kind, name).load().requires:
        return images
    splits = {
        part: Split(s.x[: len(s.x) // 3 * 3].unflatten(0, (-1, 3))) for part, s in images.splits.items()
    }
    return Data(splits, images.support, images.licence, visit=images.visit, sequence=True)


@pytest.mark.parametrize("body", ["mlp", "gated", "residual", "conv"])  # the others differ in a function
@pytest.mark.parametrize(("kind", "name"), FAMILIES)
def test_every_family_trains_with_every_body(kind, name, body):
    """On images, or sequences of them, two seeds in one pack, for three steps; what comes back is finite and
    has moved.
    """
    decoder = name if kind == "decoder" else "bernoulli"
    posterior = name if kind == "posterior" else "gaussian"
    refs = {
        "dataset": "digits[train=240]",
        "prior": PRIORS.get(posterior, "standard_normal"),
        "posterior": posterior,
        "decoder": decoder,
        "objective": "elbo[samples=2]",
        "estimator": "score" if posterior in ("bernoulli", "categorical") else "pathwise",
    }
    chosen = {k: Ref.parse(text) for k, text in refs.items()}
    chosen[kind] = Ref(name, {"network": body, "hidden": 16})
    combination = Combination(chosen, latent=6)
    data = suited(kind, name, CATALOGUE.build("dataset", chosen["dataset"]).load())
    several = [build(CATALOGUE, combination, data, seed) for seed in range(2)]
    before = [w.detach().clone() for w in getattr(several[0].model, kind).parameters()]
    budget = Budget(epochs=1, batch=len(data.splits["train"]) // 3, learning_rate=1e-3)
    results = train(several, [0, 1], data, budget, torch.device("cpu"))
    after = [
        results[0].weights[f"model.{kind}.{n}"] for n, _ in getattr(several[0].model, kind).named_parameters()
    ]
    assert all(w.isfinite().all() for w in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
