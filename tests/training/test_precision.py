"""How exact matrix products are while a model trains."""

import warnings

import pytest
import torch

import lvmbench
from lvmbench.combinations.budget import Budget
from lvmbench.training.precision import has_fast_products, matmul_precision

CPU = torch.device("cpu")
PARTS = {"prior": "standard_normal", "posterior": "gaussian", "objective": "elbo"}
UNITS = "lvmbench.training.precision.has_fast_products"


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_have_the_precision_while_a_model_trains_and_no_longer(precision, monkeypatch):
    monkeypatch.setattr(UNITS, lambda *_: True)
    with matmul_precision(precision, CPU):
        assert torch.get_float32_matmul_precision() == precision
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
