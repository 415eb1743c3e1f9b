"""The latent variable model as a composition of its parts."""

import math
import re
from pathlib import Path

import pytest
import torch

import lvmbench
from lvmbench import DataSummary, Decoder, DiagonalNormal, LatentVariableModel, Stream, Terms
from lvmbench.registry.loader import load_catalogue

CATALOGUE = load_catalogue()
DATA = DataSummary((3,), "real", torch.tensor([1.0, 0.0, -1.0]))


class Picky(Decoder):
    """A decoder that takes z exactly as the contract says: (K, B, *z)."""

    distribution = DiagonalNormal

    def forward(self, z):
        K, B, _ = z.shape
        return DiagonalNormal(z.sum(-1, keepdim=True).expand(K, B, 3), torch.zeros(()))


def model(decoder=None, posterior="gaussian[hidden=8]"):
    prior = CATALOGUE.build("prior", "standard_normal", DATA, 2)
    decoder = decoder or CATALOGUE.build("decoder", "linear_gaussian[noise=0.5]", DATA, prior.space)
    return LatentVariableModel(prior, CATALOGUE.build("posterior", posterior, DATA, prior.space), decoder)


@pytest.mark.parametrize("decoder", [None, Picky()], ids=["linear", "picky"])
def test_generated_data_has_one_event_for_each_sample(decoder):
    x = model(decoder).generate(Stream.seeded(0), 6)
    assert x.shape == (6, 3)
    assert not x.requires_grad


@pytest.mark.statistical("moments of generated data", "derived: x ~ N(b, W W' + s^2 I)", comparisons=2)
def test_generated_data_has_the_moments_of_the_marginal(chance):
    built = model()
    x = built.generate(Stream.seeded(0), 20_000).double()
    W, b = built.decoder.weight.detach().double(), DATA.mean.double()
    variance = (W @ W.T).diagonal() + 0.25
    chance.within(x.mean(0), b, (variance / 20_000).sqrt())
    chance.within(x.var(0) / variance, torch.ones(3), math.sqrt(2 / 20_000))


def test_log_joint_adds_prior_and_likelihood():
    built, x, z = model(), torch.randn(4, 3), torch.randn(5, 4, 2)
    assert built.log_joint(x, z).shape == (5, 4)
    torch.testing.assert_close(built.log_joint(x, z), built.p().log_prob(z) + built.decode(z).log_prob(x))


def test_gradients_do_not_reach_parts_that_are_held():
    built, x = model(), torch.randn(5, 3)
    value = built.holding(("prior", "decoder"), lambda: Terms(built, x, Stream.seeded(0), 2).log_w().mean())
    assert torch.equal(value, Terms(built, x, Stream.seeded(0), 2).log_w().mean())
    value.backward()
    assert all(w.grad is None for w in built.decoder.parameters())
    assert all(w.grad is not None for w in built.posterior.parameters())


def test_exact_log_density_is_the_same_from_every_latent():
    built, x = model(), torch.randn(4, 3)
    z = torch.randn(5, 4, 2)
    everywhere = built.log_joint(x, z) - built.exact_posterior(x).log_prob(z)
    torch.testing.assert_close(everywhere, built.exact_log_prob(x).expand(5, 4), rtol=1e-4, atol=1e-4)


def test_knows_the_class_of_an_exact_posterior():
    built = model(posterior="exact")
    assert built.posterior.distribution is None
    assert built.posterior_distribution is type(built.q(torch.zeros(1, 3)))


def test_what_is_unknown_of_a_pair_is_not_provided():
    assert model(Picky()).provides == {"analytic_kl"}
    assert model(Picky(), "exact").posterior_distribution is None
    assert model(Picky(), "exact").provides == frozenset()


def test_counts_what_training_can_change():
    built = model(posterior="gaussian[hidden=4,layers=1]")
    assert built.parameters_count == (3 * 4 + 4) + (4 * 4 + 4) + (3 * 2 + 3 + 1)
    built.decoder.bias.requires_grad_(False)
    assert built.parameters_count == (3 * 4 + 4) + (4 * 4 + 4) + (3 * 2 + 1)


def test_a_notebook_shows_the_parts_and_their_sizes():
    html = model()._repr_html_()
    for part, cls, size in (("prior", "StandardNormal", 0), ("decoder", "LinearGaussian", 3 * 2 + 3 + 1)):
        assert f"<th>{part}</th><td>{cls}</td><td>{size}</td>" in html


def test_decoders_are_called_by_the_model_alone():
    """Whoever calls a decoder itself would show it all of z,
    where it is built for what the space has it read.
    """
    root = Path(lvmbench.__file__).parents[1]
    sources = [
        p
        for room in ("lvmbench", "plugins", "examples", "docs")
        for p in (root / room).rglob("*")
        if p.is_file()
    ]
    texts = {p: p.read_text() for p in sources if p.suffix in {".py", ".md", ".jinja"}}
    calls = {p.name: re.findall(r"(?<!register)\.decoder\(", text) for p, text in texts.items()}
    assert {name: len(found) for name, found in calls.items() if found} == {"model.py": 1}


class Half(Decoder):
    """Keeps what it was built for and shown."""

    distribution = DiagonalNormal

    def __init__(self, space):
        super().__init__()
        self.space, self.shown = space, []

    def forward(self, z):
        self.shown.append(z)
        return DiagonalNormal(z, torch.zeros(()))


def test_every_way_to_the_decoder_goes_through_read():
    prior = CATALOGUE.build("prior", "hierarchy[layers=3 2]", DATA, 8)
    decoder = Half(prior.space.visible)
    built = LatentVariableModel(prior, CATALOGUE.build("posterior", "bottom_up", DATA, prior.space), decoder)
    terms = Terms(built, torch.zeros(4, 3), Stream.seeded(0), 5)
    for shown, z in ((terms.log_likelihood, terms.z), (built.log_joint(terms.x, terms.z), terms.z)):
        assert shown.shape == (5, 4)
        assert torch.equal(decoder.shown[-1], z[..., :3])
    built.generate(Stream.seeded(0), 6)
    assert decoder.shown[-1].shape == (6, 1, 3)
    assert decoder.space.event_shape == (3,)
