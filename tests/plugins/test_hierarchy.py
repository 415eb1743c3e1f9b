"""Hierarchies: a linear one is a normal, whose every figure is known."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from lvmbench import DataSummary, LatentVariableModel, Stream, Terms, UserError
from lvmbench.registry.loader import load_catalogue
from lvmbench.registry.names import Ref

CATALOGUE = load_catalogue()
DATA = DataSummary((3,), "real", torch.tensor([0.5, -1.0, 2.0]))
SIZES = (3, 2, 2)
LINEAR = "hierarchy[layers=3 2 2,network=linear]"


def model(prior=LINEAR, posterior="exact", decoder="linear_gaussian[noise=0.7]"):
    """Double precision, with weights so small that log scales, which are of the layer above,
    vary little: no heavy tails.
    """
    p = CATALOGUE.build("prior", prior, DATA, 7)
    q = CATALOGUE.build("posterior", posterior, DATA, p.space)
    built = LatentVariableModel(p, q, CATALOGUE.build("decoder", decoder, DATA, p.space.visible)).double()
    noise = Stream.seeded(0, "weights", dtype=torch.float64)
    with torch.no_grad():
        for weight in built.parameters():
            weight.copy_(0.3 * noise.normal(weight.shape))
    return built


def dense(prior):
    """Mean and covariance of all layers, from the bottom up,
    by the recursion of moments from the top down.
    """
    mean, blocks = [torch.zeros(SIZES[-1]).double()], [[torch.eye(SIZES[-1]).double()]]
    for weight, bias, log_scale in ([t.detach() for t in m()] for m in prior.maps):
        mean = [weight @ mean[0] + bias, *mean]
        across = [weight @ block for block in blocks[0]]  # with each layer above
        own = across[0] @ weight.T + torch.diag((2 * log_scale).exp())
        blocks = [[own, *across], *([a.T, *row] for a, row in zip(across, blocks, strict=True))]
    return torch.cat(mean), torch.cat([torch.cat(row, 1) for row in blocks])


def test_a_linear_hierarchy_is_a_normal():
    built = model()
    z = Stream.seeded(0, dtype=torch.float64).normal((5, 4, 7))
    truth = MultivariateNormal(*dense(built.prior))
    torch.testing.assert_close(built.p().log_prob(z), truth.log_prob(z), rtol=0, atol=1e-6)
    torch.testing.assert_close(built.p().mean, truth.mean, rtol=0, atol=1e-12)


def test_log_likelihood_and_posterior_under_a_linear_decoder_are_known(points):
    built = model()
    (mean, covariance), weight = dense(built.prior), built.decoder.weight.detach()
    noise = (2 * built.decoder.log_scale).exp().detach() * torch.eye(3)
    seen = weight @ covariance[:3, :3] @ weight.T + noise
    truth = MultivariateNormal(weight @ mean[:3] + built.decoder.bias.detach(), seen)
    torch.testing.assert_close(built.exact_log_prob(points), truth.log_prob(points), rtol=0, atol=1e-6)
    terms = Terms(built, points, Stream.seeded(0, dtype=torch.float64), 4)
    torch.testing.assert_close(terms.log_w(), truth.log_prob(points).expand(4, 5), rtol=0, atol=1e-6)


@pytest.mark.statistical("moments of samples", "by Student's t", comparisons=2)
def test_samples_have_the_moments_of_the_normal(chance):
    built = model()
    mean, covariance = dense(built.prior)
    with torch.no_grad():
        z = built.p().sample(Stream.seeded(chance.seed, "hierarchy", dtype=torch.float64), 50_000)
    chance.agrees(z, mean)
    products = (z - mean).unsqueeze(-1) * (z - mean).unsqueeze(-2)
    chance.agrees(products, covariance)


@pytest.mark.parametrize("network", ["mlp", "linear"])
def test_with_one_layer_it_is_the_standard_normal(network):
    built, standard = (
        model(name, "gaussian") for name in (f'hierarchy[layers="7",network={network}]', "standard_normal")
    )
    z = Stream.seeded(0, dtype=torch.float64).normal((5, 4, 7))
    assert torch.equal(built.p().log_prob(z), standard.p().log_prob(z))
    drawn = [m.p().sample(Stream.seeded(0, dtype=torch.float64), 5) for m in (built, standard)]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("layers", ["5", "32 0", '"32,8"', "-1"])
def test_sizes_are_text(layers):
    with pytest.raises(UserError, match=r"option 'layers' should be sizes .* or one in quotes"):
        model(f"hierarchy[layers={layers}]")


def test_each_layer_is_given_the_one_above():
    built = model("hierarchy[layers=3 2 2,hidden=8]", "bottom_up[hidden=8]")
    p, z = built.p(), Stream.seeded(0, dtype=torch.float64).normal((5, 4, 7))
    bottom, middle, top = z.split(SIZES, -1)
    upper, lower = built.prior.maps
    due = p.first.log_prob(top) + upper(top).log_prob(middle) + lower(middle).log_prob(bottom)
    torch.testing.assert_close(p.log_prob(z), due)


def test_the_posterior_goes_bottom_up(points):
    built = model("hierarchy[layers=3 2 2,hidden=8]", "bottom_up[hidden=8]")
    q = built.q(points)
    bottom, middle, top = q.given(torch.zeros(7, dtype=torch.float64).expand(6, 5, 7))
    assert (bottom.mean.shape, middle.mean.shape, top.mean.shape) == ((5, 3), (6, 5, 2), (6, 5, 2))
    assert q.sample(Stream.seeded(0, dtype=torch.float64), 6).shape == (6, 5, 7)


@pytest.mark.parametrize("network", ["mlp", "linear"])
@pytest.mark.statistical("the KL divergence by layer, less log q - log p", "by Student's t", comparisons=1)
def test_the_divergence_of_the_draws_is_that_of_the_samples(points, chance, network):
    built = model(f"hierarchy[layers=3 2 2,hidden=8,network={network}]", "bottom_up[hidden=8]")
    terms = Terms(built, points, Stream.seeded(chance.seed, "layers", dtype=torch.float64), 20_000)
    with torch.no_grad():
        difference = terms.kl_of_draws - (terms.log_q - terms.log_prior)
        assert difference.abs().max() > 0.1  # the top layer is in closed form
        chance.agrees(difference)
        torch.testing.assert_close(terms.kl(analytic=True), terms.kl_of_draws.mean(0))
        torch.testing.assert_close(terms.kl(), (terms.log_q - terms.log_prior).mean(0))


def test_the_name_holds_the_layers():
    ref = CATALOGUE.canonical("prior", Ref.parse("hierarchy[layers=32 8]"))
    assert str(ref) == "hierarchy[layers=32 8]"
    prior = CATALOGUE.entry("prior", "hierarchy").load()
    assert prior.latent_size(8, CATALOGUE.options("prior", ref), lambda: DATA) == 40
    assert prior.latent_size(8, CATALOGUE.options("prior", Ref("hierarchy")), lambda: DATA) == 8
