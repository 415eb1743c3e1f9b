"""Belief networks: a few bits, over which everything is a sum."""

import pytest
import torch

from lvmbench import Bernoulli, DataSummary, LatentSpace, LatentVariableModel, Refusal, Stream, Terms
from lvmbench.combinations.given import combine
from lvmbench.combinations.parts import build
from lvmbench.combinations.requirements import refusal
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref

CATALOGUE = load_catalogue()
DATA = DataSummary((4,), "binary", torch.tensor([0.5, 0.2, 0.9, 0.4]))
X = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
PRIOR = "belief_network[layers=3 2 1]"


def model(prior=PRIOR, posterior="belief_network[hidden=8]"):
    p = CATALOGUE.build("prior", prior, DATA, 6)
    q = CATALOGUE.build("posterior", posterior, DATA, p.space)
    decoder = CATALOGUE.build("decoder", "bernoulli[layers=0]", DATA, p.space.visible)
    built = LatentVariableModel(p, q, decoder).double()
    noise = Stream.seeded(0, "weights", dtype=torch.float64)
    with torch.no_grad():
        for weight in built.parameters():
            weight.copy_(noise.normal(weight.shape))
    return built


@pytest.mark.parametrize("network", ["linear", "mlp"])
def test_it_sums_to_one(network):
    built = model(f"belief_network[layers=3 2 1,network={network}]")
    values = built.prior.space.values(X)
    assert len(values) == 64
    torch.testing.assert_close(built.p().log_prob(values).logsumexp(0), torch.zeros(()).double())
    every = values.unsqueeze(1).expand(-1, len(X), -1)
    torch.testing.assert_close(built.q(X).log_prob(every).logsumexp(0), torch.zeros(len(X)).double())


def test_the_bits_of_a_layer_are_independent_given_the_layer_above():
    built = model()
    z = built.prior.space.values(X)
    bottom, middle, top = built.prior.space.split(z)
    upper, lower = (m.network.linears[0] for m in built.prior.maps)
    logits = built.prior.logits, top @ upper.weight.T + upper.bias, middle @ lower.weight.T + lower.bias
    due = sum(
        (bits * one - torch.nn.functional.softplus(one)).sum(-1)
        for bits, one in zip((top, middle, bottom), logits, strict=True)
    )
    torch.testing.assert_close(built.p().log_prob(z), due)
    assert [type(layer) for layer in built.p().given(z)] == [Bernoulli] * 3


@pytest.mark.statistical("shares of every value among 50,000 samples", "by Student's t", comparisons=2)
def test_samples_follow_the_density(chance):
    built = model()
    values, noise = built.prior.space.values(X), Stream.seeded(chance.seed, "bits", dtype=torch.float64)
    powers = 2.0 ** torch.arange(6)
    for p in (built.p(), built.q(X[:1])):
        found = (p.sample(noise, 50_000).reshape(50_000, 6).float() @ powers).long()
        due = p.log_prob(values.unsqueeze(1)).exp().reshape(64)
        likely = due > 0.01  # of the rest there are too few for Student's t
        chance.agrees(torch.nn.functional.one_hot(found, 64).double()[:, likely], due[likely])


@pytest.mark.parametrize("network", ["linear", "mlp"])
def test_with_one_layer_it_is_independent_bits(network):
    built = model(f'belief_network[layers="6",network={network}]', "bernoulli[hidden=8]")
    bits = model("bernoulli[learned=true]", "bernoulli[hidden=8]")
    bits.load_state_dict(built.state_dict())
    values = bits.prior.space.values(X)
    assert torch.equal(built.p().log_prob(values), bits.p().log_prob(values))
    drawn = [m.p().sample(Stream.seeded(0, dtype=torch.float64), 50) for m in (built, bits)]
    assert torch.equal(*drawn)


def test_the_exact_posterior_leaves_no_gap():
    built = model(posterior="exact")
    values = built.prior.space.values(X)
    joint = torch.stack([built.log_joint(X, z.expand(1, len(X), 6))[0] for z in values])
    torch.testing.assert_close(built.exact_log_prob(X), joint.logsumexp(0))
    log_w = Terms(built, X, Stream.seeded(0, dtype=torch.float64), 7).log_w()
    torch.testing.assert_close(log_w, joint.logsumexp(0).expand(7, -1))


def test_the_divergence_is_known_layer_by_layer():
    """Of the draws: the sum over every z of its terms is that of log q - log p."""
    built = model()
    z = built.prior.space.values(X).unsqueeze(1).expand(-1, len(X), -1)
    terms = Terms.at(built, X, z, Stream.seeded(0, dtype=torch.float64))
    assert (terms.kl_of_draws - (terms.log_q - terms.log_prior)).abs().max() > 0.1
    sums = ((terms.log_q.exp() * f).sum(0) for f in (terms.kl_of_draws, terms.log_q - terms.log_prior))
    torch.testing.assert_close(*sums)


def test_the_posterior_goes_bottom_up():
    bottom, middle, top = model().q(X).given(torch.zeros(5, len(X), 6, dtype=torch.float64))
    assert [tuple(layer.mean.shape) for layer in (bottom, middle, top)] == [(3, 3), (5, 3, 2), (5, 3, 1)]


@pytest.mark.parametrize(("latent", "sizes"), [(2, (1, 1)), (5, (3, 2)), (8, (4, 4))])
def test_two_layers_share_the_latent_size(latent, sizes):
    prior = CATALOGUE.build("prior", "belief_network", DATA, latent)
    assert prior.space == LatentSpace.layered(*sizes, support="binary")
    assert prior.latent_size(latent, {"layers": None}, lambda: DATA) == latent
    assert prior.latent_size(latent, {"layers": "9 3"}, lambda: DATA) == 12


def test_two_layers_need_two_latents():
    with pytest.raises(Refusal, match="'belief_network' needs a latent size of at least 2"):
        CATALOGUE.build("prior", "belief_network", DATA, 1)


@pytest.mark.parametrize(
    ("prior", "posterior", "lacking"),
    [
        ("belief_network", "gaussian", "posterior 'gaussian' requires prior.real"),
        ("bernoulli", "belief_network", "posterior 'belief_network' requires prior.layers"),
        ("hierarchy", "belief_network", "posterior 'belief_network' requires prior.binary"),
        ("belief_network", "ladder", "posterior 'ladder' requires prior.top_down"),
        ("belief_network", "bernoulli", None),
        ("belief_network", "exact", None),
    ],
)
def test_what_does_not_go_together_is_refused(prior, posterior, lacking):
    given = {"dataset": "digits", "prior": prior, "posterior": posterior, "decoder": "bernoulli"}
    catalogue, combination = combine(CATALOGUE, {**given, "objective": "elbo"}, "score", 4)
    data = catalogue.build("dataset", combination["dataset"]).load()
    reason = refusal(data, build(catalogue, combination, data, seed=0), combination)
    assert reason is None if lacking is None else reason.startswith(lacking)


def test_the_name_holds_the_layers():
    assert str(CATALOGUE.canonical("prior", Ref.parse("belief_network[layers=32 8]"))) == (
        "belief_network[layers=32 8]"
    )
