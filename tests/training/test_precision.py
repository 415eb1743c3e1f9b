"""How exact matrix products are while a model trains."""

import warnings

import pytest
import torch
from torch import nn

import lvmbench
from lvmbench.combinations.budget import Budget
from lvmbench.training.precision import decoding_precision, has_fast_products, matmul_precision

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
