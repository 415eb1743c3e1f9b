"""Digits in two parts: together they are the digits."""

import pytest
import torch

import lvmbench
from lvmbench import Refusal
from lvmbench.options import OptionError
from lvmbench.registry.loader import load_catalogue
from lvmbench_plugins.datasets.digit_halves import DigitHalves
from lvmbench_plugins.datasets.digits import Digits

CATALOGUE = load_catalogue()


@pytest.mark.parametrize("rows", [1, 4, 7])
def test_factors_and_values_together_are_the_digits(rows):
    whole, parts = Digits().load(), DigitHalves(rows=rows).load()
    for name, split in parts.splits.items():
        upper = split.factors.reshape(-1, 1, rows, 8)
        assert torch.equal(torch.cat([upper, split.x], 2), whole.splits[name].x)
        assert torch.equal(split.labels, whole.splits[name].labels)
    assert parts.capabilities >= {"binary", "image", "factors", "binary_factors", "labels", "complete"}
    assert parts.summary.factors == len(parts.factor_names) == 8 * rows


@pytest.mark.parametrize("rows", [0, 8])
def test_both_parts_have_rows(rows):
    with pytest.raises(OptionError, match="'rows' should be"):
        CATALOGUE.build("dataset", f"digit_halves[rows={rows}]")


MODEL = {
    "prior": "fully_visible[iterations=1]",
    "posterior": "bernoulli",
    "decoder": "fully_visible[iterations=1]",
}
REFUSED = {
    "no factors": ({"data": "digits"}, "requires dataset.binary_factors"),
    "factors of many values": ({"data": "shapes[positions=3]", "latent": 5}, "dataset.binary_factors"),
    "too few latents": (
        {"data": "digit_halves", "prior": "bernoulli", "latent": 16},
        "decoder 'fully_visible' needs a latent for each factor .* there are 32, got 16; say latent: 32",
    ),
    "real latents": (
        {"data": "digit_halves", "prior": "standard_normal", "posterior": "gaussian", "latent": 32},
        "requires prior.binary",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_training(case):
    changed, reason = REFUSED[case]
    with pytest.raises(Refusal, match=reason):
        lvmbench.fit(**{**MODEL, "objective": "elbo", **changed}, epochs=1)
