"""The associative prior: a density when measured, a lower bound on it in training."""

import math

import pytest
import torch

from lvmbench import (
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Mixture,
    Refusal,
    Split,
    Stream,
    evaluate,
    fit,
)
from lvmbench.combinations.requirements import capabilities
from lvmbench.registry.loader import load_catalogue
from lvmbench.training.learner import restore, state
from lvmbench_plugins.priors.associative import Associative

F64 = torch.float64
CATALOGUE = load_catalogue()
COUNT = 6
DATA = DataSummary((3,), "real", torch.zeros(3), size=COUNT)
BLOBS = {"data": "blobs[train=60,validation=20,test=30]", "decoder": "linear_gaussian", "objective": "elbo"}


def prior(latent=2, **options):
    torch.manual_seed(0)
    built = Associative(DATA, latent, **{"neighbours": 2, "hidden": 8, **options}).double()
    with torch.no_grad():
        built.codes.mul_(2)
    return built


def joint(built, z):
    """log N(z; mu(c_n), sigma(c_n)) - log N of each code, ``(..., N)``."""
    offset, log_scale = built.network(built.codes).unbind(-2)
    normal = torch.distributions.Normal(built.codes + offset, log_scale.exp())
    return normal.log_prob(z.unsqueeze(-2)).sum(-1) - math.log(COUNT)


def values(*lead):
    return 3 * Stream.seeded(0, "values", dtype=F64).normal((*lead, 2))


def test_what_is_measured_is_the_whole_mixture():
    built, z = prior(), values(5, 7)
    law = built(None).law
    torch.testing.assert_close(law.log_prob(z), joint(built, z).logsumexp(-1))
    torch.testing.assert_close(law.assign(z), joint(built, z).softmax(-1))
    assert law.family == Mixture[DiagonalNormal]


@pytest.mark.parametrize("latent", [1, 2])
def test_it_integrates_to_one(latent):
    law = prior(latent)(None).law
    axis = torch.linspace(-12, 12, 241, dtype=F64)
    with torch.no_grad():
        density = law.log_prob(torch.cartesian_prod(*[axis] * latent).reshape(-1, latent)).exp()
    assert density.sum() * 0.1**latent == pytest.approx(1, abs=1e-6)


@pytest.mark.statistical("moments of samples with those of the mixture", "by Student's t", comparisons=2)
def test_samples_are_of_the_mixture(chance):
    built = prior()
    with torch.no_grad():
        law = built(None).law
        z = law.sample(Stream.seeded(chance.seed, "associative", dtype=F64), 20_000)
        loc, scale = law.components.loc, law.components.log_scale.exp()
        chance.agrees(z, loc.mean(0))
        second = (torch.diag_embed(scale**2) + loc.unsqueeze(-1) * loc.unsqueeze(-2)).mean(0)
        chance.agrees(z.unsqueeze(-1) * z.unsqueeze(-2), second)


def test_training_leaves_the_nearest_code_out_and_takes_the_next():
    built, z = prior(), values(5, 7)
    order = (z.unsqueeze(-2) - built.codes).norm(dim=-1).argsort(-1)
    ranked = joint(built, z).gather(-1, order)
    for neighbours in range(1, COUNT):
        built.neighbours = neighbours
        torch.testing.assert_close(built(None).log_prob(z), ranked[..., 1 : neighbours + 1].logsumexp(-1))
    built.neighbours = 0
    torch.testing.assert_close(built(None).log_prob(z), ranked[..., 1:].logsumexp(-1))
    assert (built(None).log_prob(z) <= built(None).law.log_prob(z)).all()


@pytest.mark.parametrize("neighbours", [0, 2])
def test_a_datum_cannot_be_learnt_by_heart(neighbours):
    """Narrow normals about each code pay for the density that is measured, and not in training."""
    built = prior(neighbours=neighbours)
    with torch.no_grad():
        for weight in built.network.parameters():
            weight.zero_()
        list(built.network.parameters())[-1][2:] = -8.0  # log scales
        p, z = built(None), built.codes.clone()
        assert (p.law.log_prob(z) > 10).all()
        assert (p.log_prob(z) < -1000).all()


def test_training_has_a_bound_and_measuring_a_density():
    p = prior()
    q = CATALOGUE.build("posterior", "gaussian[hidden=8]", DATA, p.space)
    decoder = CATALOGUE.build("decoder", "linear_gaussian", DATA, p.space)
    built = LatentVariableModel(p, q, decoder).double()
    assert built.p().family == built.prior_distribution
    assert built.provides == frozenset()
    built.eval()
    assert built.p().family == built.prior_distribution == Mixture[DiagonalNormal]
    assert built.provides == {"exact_posterior", "analytic_kl"}


def test_codes_are_posterior_means_of_the_training_data():
    p = prior()
    q = CATALOGUE.build("posterior", "gaussian[hidden=8]", DATA, p.space)
    decoder = CATALOGUE.build("decoder", "linear_gaussian", DATA, p.space)
    built, x = LatentVariableModel(p, q, decoder).double(), torch.randn(COUNT, 3, dtype=F64)
    with torch.no_grad():
        p.refresh(Split(x), built)
        assert torch.equal(p.codes, built.q(x).mean)


def test_a_trained_one_is_measured_and_saved():
    parts = {"prior": "associative[hidden=8]", "posterior": "gaussian[hidden=8]", "latent": 2, **BLOBS}
    fitted, other = fit(epochs=2, **parts), fit(epochs=1, seed=1, **parts)
    assert {"prior.density", "prior.components", "model.exact_posterior"} <= fitted.provides
    assert not capabilities(fitted.data, fitted.parts) & {"prior.density", "prior.components"}
    found = evaluate(fitted, "clustering[starts=1]")
    assert found["value"].notna().all()
    assert "prior" in set(found["method"])
    restore(other.parts, state(fitted.parts))
    z = torch.randn(7, 2)
    with torch.no_grad():
        assert torch.equal(other.model.p().log_prob(z), fitted.model.p().log_prob(z))


@pytest.mark.parametrize("neighbours", [6, 100])
def test_more_neighbours_than_others_are_refused(neighbours):
    with pytest.raises(Refusal, match=f"more data than neighbours; got 6 data and neighbours={neighbours}"):
        Associative(DATA, 2, neighbours=neighbours)


@pytest.mark.parametrize(
    ("posterior", "word"), [("svi[steps=2]", "posterior.amortized"), ("iaf[flows=1]", "posterior.mean")]
)
def test_posteriors_without_codes_are_refused(posterior, word):
    with pytest.raises(Refusal, match=rf"prior 'associative' requires {word}"):
        fit(prior="associative", posterior=posterior, epochs=1, latent=2, **BLOBS)
