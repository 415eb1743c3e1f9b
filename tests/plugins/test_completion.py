"""How well known latents are told: against figures found by hand."""

from dataclasses import replace

import pytest
import torch

import lvmbench
from lvmbench import Data, Refusal, Split

BITS = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])


def data(factors=BITS):
    splits = {
        name: Split(torch.tensor([[0.0], [1.0]]).repeat(2, 1), factors=factors)
        for name in ("train", "validation", "test")
    }
    return Data(splits, "binary", "made up")


@pytest.fixture
def fitted():
    model = {"prior": "bernoulli", "posterior": "bernoulli_svi[steps=0,start=1]", "decoder": "bernoulli"}
    return lvmbench.fit(data=data(), **model, objective="elbo", latent=3, epochs=1)


def figures(fitted):
    found = lvmbench.evaluate(fitted, "completion")
    return found.set_index(["metric", "method"])["value"]


def test_bits_are_counted_where_they_vary(fitted):
    """Every bit is taken for 1: of those that vary, half are; the third is always 1, and does not count.

    A bit that is wrong costs 20 nats, one by frequency log 2, and the third log(6 / 5) by frequency.
    """
    found = figures(fitted)
    assert found["completion_accuracy", ""] == 0.5
    assert found["completion_log_prob", ""] == pytest.approx(-20.0, rel=1e-6)
    assert found["completion_accuracy", "marginal"] == 0.5
    expected = -2 * torch.tensor(2.0).log() - torch.tensor(6 / 5).log()
    assert found["completion_log_prob", "marginal"] == pytest.approx(expected.item(), rel=1e-6)


def test_a_bit_of_which_nothing_is_known_is_half_right(fitted):
    fitted.model.posterior.start = 0.5
    assert figures(fitted)["completion_accuracy", ""] == 0.5
    assert figures(fitted)["completion_log_prob", ""] == pytest.approx(-3 * torch.tensor(2.0).log().item())


def test_factors_that_are_no_latents_are_refused(fitted):
    few = replace(fitted, data=data(BITS[:, :2]))
    with pytest.raises(Refusal, match="the factors of the data are 2, the latents 3"):
        lvmbench.evaluate(few, "completion")


def test_factors_that_do_not_vary_are_refused(fitted):
    constant = replace(fitted, data=data(torch.ones_like(BITS)))
    with pytest.raises(Refusal, match="none has them"):
        lvmbench.evaluate(constant, "completion")
