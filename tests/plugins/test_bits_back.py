"""Bits-back: the length is -ELBO, and every image comes back."""

import math

import numpy as np
import pytest
import torch

import lvmbench
from lvmbench import Bernoulli, DiagonalNormal, LvmbenchError, Refusal, Unavailable
from lvmbench_plugins.evaluators import _coder
from lvmbench_plugins.evaluators._chain import Chain, _words
from lvmbench_plugins.evaluators.bits_back import BitsBack
from lvmbench_plugins.evaluators.sample_quality import SampleQuality


def fitted(data="digits", decoder="bernoulli", prior="standard_normal", **budget):
    budget = {"epochs": 20, "batch": 128, "learning_rate": 2e-3, **budget}
    parts = {"prior": prior, "posterior": "gaussian", "decoder": decoder, "objective": "elbo"}
    return lvmbench.fit(data=data, latent=4, device="cpu", **parts, **budget)


@pytest.fixture(scope="module")
def digits():
    return fitted()


TAILS = 3
"""So many draws of 1,440 latents in 256 bins may fall anywhere:
each does with a probability of 256 / 2^24, and more do once in 1e8 times (Poisson)."""


def hold_to_elbo(subject, chance, draws=100):
    """The net length is -ELBO: no shorter than by chance, which is that of one draw of each image,
    and by the rounding of words.

    It may be longer by what draws cost that fall anywhere on the grid.
    """
    measured = {m.method: m for m in BitsBack(samples=draws, bins=256).evaluate(subject)}
    elbo, size = measured["elbo"], subject.x.numel()
    spread = chance.allowed(elbo.stderr * draws**0.5)
    excess = measured["bits_back"].value - elbo.value
    assert -spread - 32 / size <= excess <= spread + (3 * 32 + TAILS * farthest(subject)) / size
    return {name: m.value for name, m in measured.items()}


@torch.no_grad()
def farthest(subject):
    """The most bits that an image costs with one of its latents at an end of the grid."""
    model, grid = subject.model, Chain(subject.model, 256).latents.grid
    means = model.q(subject.x).mean
    ends = [
        means.index_fill(1, torch.tensor([unit]), end)
        for unit in range(means.shape[1])
        for end in (grid.low, grid.low + grid.width * grid.bins)
    ]
    return -model.log_joint(subject.x, torch.stack(ends)).min().item() / math.log(2)


SPREAD = "of one draw of z of each image, as the ELBO's error has it"


@pytest.mark.parametrize("prior", ["standard_normal", "mixture[components=3]"])
@pytest.mark.statistical("the length with -ELBO", SPREAD)
def test_the_net_length_is_minus_the_elbo(prior, chance):
    found = hold_to_elbo(fitted(prior=prior).subject(), chance)
    assert found["bits_back"] < found["gzip"] < found["png"]


def test_length_of_a_model_that_knows_nothing(digits):
    """Untrained weights at zero: p(x|z) = 1/2 and q = p, so that a pixel takes one bit, whatever is drawn.

    Beyond that there are the word that says how many images there are, and the rounding of both ends.
    """
    subject = fitted(epochs=1).subject()
    with torch.no_grad():
        for weight in subject.model.parameters():
            weight.zero_()
    found = {m.method: m.value for m in BitsBack(data=50).evaluate(subject)}
    assert found["elbo"] == pytest.approx(1.0, abs=1e-6)
    assert 0 <= (found["bits_back"] - 1) * 50 * 64 <= 3 * 32


def shifted(loc, log_scale):
    """A run whose every q(z|x) is N(loc, exp(log_scale)^2), and whose decoder follows the mean of z."""
    subject = fitted(epochs=1).subject()
    q, p = subject.model.posterior.network, subject.model.decoder
    with torch.no_grad():
        for weight in subject.model.parameters():
            weight.zero_()
        last = [w for w in q.parameters() if w.dim() == 1][-1]
        last.copy_(torch.cat([torch.full((4,), loc), torch.full((4,), log_scale)]))
    p.forward = lambda z: Bernoulli(
        (z.mean(-1) * 2 - 1)[..., None, None, None].expand(*z.shape[:-1], 1, 8, 8), 3
    )
    return subject


@pytest.mark.statistical("the length with -ELBO", SPREAD)
def test_draws_are_fair_where_the_posterior_is_not_the_prior_on_average(chance):
    """Every q(z|x) is N(1/2, 0.9^2): drawn from bits that are not uniform, z would drift to 5,
    where x costs more.

    The decoder's logits are 2 z - 1, so that the length depends on z.
    """
    hold_to_elbo(shifted(0.5, math.log(0.9)), chance)


# --- what a reader needs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["standard_normal", "mixture[components=3]"])
def test_a_reader_has_the_message_and_the_model_and_nothing_else(prior):
    """The model from its weights, the message from its bytes; not even how many images there are."""
    subject = fitted(prior=prior, epochs=2).subject()
    x = subject.x[:20]
    sent = Chain(subject.model, 1024).encode(x).words.tobytes()
    other = fitted(prior=prior, epochs=1).subject().model
    other.load_state_dict(subject.model.state_dict())
    assert torch.equal(Chain(other, 1024).decode(np.frombuffer(sent, np.uint32)), x)


@pytest.mark.parametrize(("loc", "log_scale"), [(100.0, 0.0), (-9.0, -7.0), (0.0, 5.0)])
def test_posteriors_beyond_the_grid_cost_bits_and_lose_none(loc, log_scale):
    """The evaluation fails unless every image comes back."""
    found = {m.method: m.value for m in BitsBack(data=20).evaluate(shifted(loc, log_scale))}
    assert found["bits_back_total"] > found["bits_back"] > 1


def test_the_total_is_whole_words_and_has_what_was_borrowed():
    subject = fitted(epochs=1).subject()
    message = Chain(subject.model, 1024).encode(subject.x[:1])
    assert message.words.dtype == np.uint32
    assert message.bits == 32 * len(message.words)
    assert message.words[0] == 1
    assert message.bits - message.net == 32 * message.borrowed > 0
    found = {m.method: m.value for m in BitsBack(data=1).evaluate(subject)}
    assert (found["bits_back"], found["bits_back_total"]) == (message.net / 64, message.bits / 64)


def test_seed_has_no_more_words_than_the_first_image_draws_from():
    subject = fitted(epochs=1).subject()
    chain = Chain(subject.model, 1024)
    borrowed = chain.encode(subject.x[:1]).borrowed
    with torch.no_grad():
        assert not chain._suffices(_words("seed", borrowed - 1), subject.x[:1])


def test_a_coder_that_loses_bits_is_an_error(digits, monkeypatch):
    """A decoder that errs in one pixel must not pass."""
    pop = _coder.Stack.pop_bits

    def flipped(self, p):
        symbols = pop(self, p).copy()
        symbols[0] ^= 1
        return symbols

    monkeypatch.setattr(_coder.Stack, "pop_bits", flipped)
    with pytest.raises(LvmbenchError, match="bits-back: the seed bits were not restored"):
        list(BitsBack(data=10).evaluate(digits.subject()))


def test_a_reader_that_gets_an_image_wrong_is_an_error(digits, monkeypatch):
    decode = Chain.decode
    monkeypatch.setattr(Chain, "decode", lambda *given: decode(*given).index_fill(0, torch.tensor([3]), 1.0))
    with pytest.raises(LvmbenchError, match="bits-back: 1 of 10 images were decoded wrongly"):
        list(BitsBack(data=10).evaluate(digits.subject()))


def test_binary_latents_come_back():
    """Symbols under Bernoulli distributions, pushed and popped, leave the seed as it was."""
    seed = np.arange(1, 20, dtype=np.uint32)
    stack, p = _coder.Stack(seed, 16), Bernoulli(torch.tensor([0.3, -2.0, 5.0]))
    q = Bernoulli(torch.tensor([[1.0, -1.0, 0.0]]))
    latents = _coder.latents(p, Bernoulli, 16)
    z = latents.pop(stack, q)
    latents.push_prior(stack, z)
    again = latents.pop_prior(stack)
    latents.restore(stack, q, again)
    assert torch.equal(z, again)
    assert np.array_equal(stack.seed, seed)


def test_latents_without_a_code_are_refused():
    with pytest.raises(Refusal, match=r"p\(z\) is a Bernoulli, q\(z\|x\) a DiagonalNormal"):
        _coder.latents(Bernoulli(torch.zeros(2)), DiagonalNormal, 16)


def test_more_images_than_there_are_is_refused(digits):
    with pytest.raises(Refusal, match="361 images are asked for; the test split has 360"):
        lvmbench.evaluate(digits, "bits_back[data=361]")


def test_grey_images_are_refused():
    grey = fitted("digits[binarize=none]", "gaussian", epochs=1)
    with pytest.raises(Refusal, match=r"requires dataset\.binary, which dataset .* with values from 0 to 1"):
        lvmbench.evaluate(grey, "bits_back")


def test_grey_training_images_are_refused():
    grey = fitted("digits[binarize=dynamic]", epochs=1)
    with pytest.raises(Refusal, match="the train split has values between 0 and 1"):
        lvmbench.evaluate(grey, "bits_back", split="train")


def test_without_the_coder_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("lvmbench_plugins.evaluators.bits_back.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'lvmbench\[coding\]'"):
        BitsBack()


def test_samples_need_enough_data(digits):
    with pytest.raises(Refusal, match="181 samples need twice as many data; the test split has 360"):
        list(SampleQuality(samples=181, features="pixels").evaluate(digits.subject()))
