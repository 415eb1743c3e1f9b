"""How exact matrix products are while a model trains."""

import warnings

import pytest
import torch
from torch import nn

import lvmbench
from lvmbench.combinations.budget import Budget
from lvmbench.training.precision import (
    SMALL_ROUNDED,
    Bfloat16Products,
    decoding_precision,
    has_fast_products,
    matmul_precision,
)

CPU = torch.device("cpu")
PARTS = {"prior": "standard_normal", "posterior": "gaussian", "objective": "elbo"}


@pytest.fixture
def unit(monkeypatch):
    """A processor that rounds what it multiplies where it may."""
    monkeypatch.setattr("lvmbench.training.precision._rounded", lambda precision: True)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_have_the_precision_while_a_model_trains_and_no_longer(precision, unit):
    with matmul_precision(precision, CPU):
        assert torch.get_float32_matmul_precision() == precision
    assert torch.get_float32_matmul_precision() == "highest"


def test_products_of_the_highest_precision_are_exact_whoever_takes_them():
    numbers = torch.full((256, 256), 1 + 2**-20)
    with matmul_precision("highest", CPU):
        assert torch.equal(numbers @ torch.eye(256), numbers)


def test_only_the_decoder_has_the_precision_of_an_evaluator(unit):
    found = []

    class Part(nn.Module):
        def forward(self) -> None:
            found.append(torch.get_float32_matmul_precision())

    decoder, posterior = Part(), Part()
    with decoding_precision("medium", decoder, CPU):
        for part in (posterior, decoder, posterior):
            part()
    decoder()
    assert found == ["highest", "medium", "highest", "highest"]


def test_a_decoder_that_fails_leaves_products_exact(unit):
    class Fails(nn.Module):
        def forward(self) -> None:
            raise ValueError("no")

    decoder = Fails()
    with decoding_precision("medium", decoder, CPU):
        with pytest.raises(ValueError, match="no"):
            decoder()
        assert torch.get_float32_matmul_precision() == "highest"


def test_a_precision_that_gains_nothing_is_told():
    assert not has_fast_products("high", CPU)
    with pytest.warns(UserWarning, match="precision: high is as highest here: cpu has no unit for it"):
        lvmbench.fit(data="blobs", decoder="gaussian", epochs=1, precision="high", **PARTS)


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("layer", [nn.Linear(256, 200), nn.Linear(256, 200, bias=False), nn.GRU(256, 200)])
def test_large_products_are_of_rounded_numbers_wherever_they_are_taken(layer, context):
    x = torch.randn(SMALL_ROUNDED // (256 * 200) + 1, 256)
    with context():
        exact = layer(x)
        with Bfloat16Products():
            rounded = layer(x)
    exact, rounded = (found[0] if isinstance(found, tuple) else found for found in (exact, rounded))
    assert rounded.dtype == torch.float32
    # factors and sums are rounded by 2^-9 of their size at most; with 256 terms of either sign by less
    assert 0 < (rounded - exact).abs().max() < 2**-6 * (1 + exact.abs().max())


def test_small_products_and_those_in_double_precision_stay_exact():
    layer, x = nn.Linear(64, 64), torch.randn(100, 64)
    with Bfloat16Products():
        torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
    layer, x = layer.double(), torch.randn(2000, 64, dtype=torch.float64)
    exact = layer(x)
    with Bfloat16Products():
        assert torch.equal(layer(x), exact)


def test_gradients_are_of_rounded_products_too():
    layer, x = nn.Linear(256, 200), torch.randn(1000, 256, requires_grad=True)
    with Bfloat16Products():
        rounded = torch.autograd.grad(layer(x).square().sum(), (layer.weight, x))
    exact = torch.autograd.grad(layer(x).square().sum(), (layer.weight, x))
    for one, other in zip(rounded, exact, strict=True):
        assert 0 < (one - other).norm() < 2**-6 * other.norm()


def test_products_are_rounded_by_us_where_only_torch_does_not(monkeypatch):
    layer, x = nn.Linear(256, 200), torch.randn(1000, 256)
    exact = layer(x)
    monkeypatch.setattr("lvmbench.training.precision._is_left_to_us", lambda precision: precision == "medium")
    assert has_fast_products("medium", CPU)
    assert not has_fast_products("high", CPU)
    with matmul_precision("medium", CPU):
        assert not torch.equal(layer(x), exact)
    with decoding_precision("medium", layer, CPU):
        assert not torch.equal(layer(x), exact)
        torch.testing.assert_close(torch.addmm(layer.bias, x, layer.weight.T), exact)
    with matmul_precision("medium", CPU, product=SMALL_ROUNDED / 2):
        torch.testing.assert_close(layer(x), exact)


def test_models_trained_with_rounded_products_are_as_good():
    bounds = []
    for precision in ("highest", "medium"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = lvmbench.fit(data="digits", decoder="bernoulli", epochs=3, precision=precision, **PARTS)
        bounds.append(fitted.curve["validation_bound"].tolist())
    # a product of rounded numbers is off by 2^-8 of its size at most, and so is each of 64 logits, were all
    # their errors of one sign
    assert bounds[1] == pytest.approx(bounds[0], rel=2**-6)


def test_what_was_trained_before_there_was_a_choice_is_of_the_highest():
    assert "precision" not in Budget().identity
    assert Budget(precision="medium").identity["precision"] == "medium"
