"""Bits-back: the length is -ELBO, and every image comes back."""

import numpy as np
import pytest
import torch

import lvmbench
from lvmbench import Bernoulli, DiagonalNormal, LvmbenchError, Refusal, Unavailable
from lvmbench_plugins.evaluators import _coder
from lvmbench_plugins.evaluators.bits_back import BitsBack
from lvmbench_plugins.evaluators.sample_quality import SampleQuality


def fitted(data="digits", decoder="bernoulli", prior="standard_normal", **budget):
    budget = {"epochs": 20, "batch": 128, "learning_rate": 2e-3, **budget}
    parts = {"prior": prior, "posterior": "gaussian", "decoder": decoder, "objective": "elbo"}
    return lvmbench.fit(data=data, latent=4, device="cpu", **parts, **budget)


@pytest.fixture(scope="module")
def digits():
    return fitted()


def by_method(frame):
    return dict(zip(frame["method"], frame["value"], strict=True))


@pytest.mark.parametrize("prior", ["standard_normal", "mixture[components=3]"])
def test_the_net_length_is_minus_the_elbo(prior):
    """Within 2%, over 360 images.

    The length is one draw: 30 bits of standard deviation on 10,000, and up to 32 of the coder's word at either end.
    Those make 1%, twice which is exceeded with a probability below 1e-6.
    """
    found = by_method(lvmbench.evaluate(fitted(prior=prior), "bits_back"))
    assert found["bits_back"] == pytest.approx(found["elbo"], rel=0.02)
    assert found["bits_back"] < found["gzip"] < found["png"]


def test_length_of_a_model_that_knows_nothing(digits):
    """Untrained weights at zero: p(x|z) = 1/2 and q = p, so that a pixel takes one bit, whatever is drawn."""
    subject = fitted(epochs=1).subject()
    with torch.no_grad():
        for weight in subject.model.parameters():
            weight.zero_()
    found = {m.method: m.value for m in BitsBack(data=50).evaluate(subject)}
    assert found["elbo"] == pytest.approx(1.0, abs=1e-6)
    assert found["bits_back"] == pytest.approx(1.0, abs=64 / (50 * 64))


def test_draws_are_fair_where_the_posterior_is_not_the_prior_on_average():
    """Every q(z|x) is N(1/2, 0.9^2): drawn from bits that are not uniform, z would drift to 5, where x costs more.

    The decoder's logits are z - 1/2, so that the length depends on z. Its standard deviation over 360 images of 4 latents
    is below 80 bits of 25,000; 2% are 6 of these.
    """
    subject = fitted(epochs=1).subject()
    q, p = subject.model.posterior.network, subject.model.decoder
    with torch.no_grad():
        for weight in subject.model.parameters():
            weight.zero_()
        last = [w for w in q.parameters() if w.dim() == 1][-1]
        last.copy_(torch.cat([torch.full((4,), 0.5), torch.full((4,), 0.9).log()]))
    subject.model.decoder.forward = lambda z: Bernoulli(
        (z.mean(-1) * 2 - 1)[..., None, None, None].expand(*z.shape[:-1], 1, 8, 8), 3
    )
    assert p.distribution is Bernoulli
    found = {m.method: m.value for m in BitsBack().evaluate(subject)}
    assert found["bits_back"] == pytest.approx(found["elbo"], rel=0.02)


def test_a_coder_that_loses_bits_is_an_error(digits, monkeypatch):
    """A decoder that errs in one pixel must not pass."""
    pop = _coder.Stack.pop_bits

    def flipped(self, p):
        symbols = pop(self, p).copy()
        symbols[0] ^= 1
        return symbols

    monkeypatch.setattr(_coder.Stack, "pop_bits", flipped)
    with pytest.raises(LvmbenchError, match="images were decoded wrongly"):
        list(BitsBack(data=10).evaluate(digits.subject()))


def test_binary_latents_come_back():
    """Symbols under Bernoulli distributions, pushed and popped, leave the seed as it was."""
    seed = np.arange(1, 20, dtype=np.uint32)
    stack, p = _coder.Stack(seed, 16), Bernoulli(torch.tensor([0.3, -2.0, 5.0]))
    q = Bernoulli(torch.tensor([[1.0, -1.0, 0.0]]))
    latents = _coder.latents(p, [q], 16)
    z = latents.pop(stack, q)
    latents.push_prior(stack, z)
    again = latents.pop_prior(stack)
    latents.restore(stack, q, again)
    assert torch.equal(z, again)
    assert np.array_equal(stack.words, seed)


def test_latents_without_a_code_are_refused():
    with pytest.raises(Refusal, match=r"p\(z\) is a Bernoulli, q\(z\|x\) a DiagonalNormal"):
        _coder.latents(Bernoulli(torch.zeros(2)), [DiagonalNormal(torch.zeros(1, 2), torch.zeros(1, 2))], 16)


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
