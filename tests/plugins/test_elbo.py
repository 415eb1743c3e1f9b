"""The evidence lower bound of a linear-Gaussian model."""

import pytest
import torch

from lvmbench import Stream, Terms
from lvmbench.divergence import analytic_kl
from lvmbench_plugins.objectives.elbo import Elbo


def terms(model, x, samples=1):
    return Terms(model, x, Stream.seeded(0, dtype=torch.float64), samples)


@pytest.mark.statistical("the sampled with the analytic KL divergence", "of the 20,000 paired differences")
def test_analytic_and_sampled_kl_have_one_expectation(linear_model, points, chance):
    drawn = terms(linear_model(), points, 20_000)
    difference = (drawn.log_q - drawn.log_prior) - drawn.kl(analytic=True)
    chance.agrees(difference)
    torch.testing.assert_close(
        Elbo(kl="analytic")(drawn) - Elbo(kl="sampled")(drawn), difference.mean(0), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize(("beta", "weight"), [(1.0, 1.0), (4.0, 1.0), (0.5, 1.0), (2.0, 0.25), (1.0, 0.0)])
def test_kl_counts_beta_times_kl_weight(linear_model, points, kl, beta, weight):
    drawn = terms(linear_model(), points, 3)
    divergence = (drawn.log_q - drawn.log_prior).mean(0) if kl == "sampled" else analytic_kl(drawn.q, drawn.p)
    expected = drawn.log_likelihood.mean(0) - weight * beta * divergence
    torch.testing.assert_close(Elbo(samples=3, beta=beta, kl=kl)(drawn, weight), expected)


@pytest.mark.parametrize(("beta", "lower"), [(0.0, False), (0.99, False), (1.0, True), (4.0, True)])
def test_is_a_lower_bound_from_beta_1_on(beta, lower):
    assert Elbo(beta=beta).lower_bound is lower


def test_a_registered_formula_changes_nothing_unless_it_is_asked_for(linear_model, points):
    """The same draws under a prior with a formula and under one without that is the same normal."""
    posterior = "full_gaussian[hidden=8]"
    known, unknown = linear_model(posterior), linear_model(posterior, prior="mixture[components=1]")
    with torch.no_grad():
        unknown.prior.load_state_dict({k: torch.zeros_like(v) for k, v in unknown.prior.state_dict().items()})
    unknown.posterior, unknown.decoder = known.posterior, known.decoder
    assert ("analytic_kl" in known.provides, "analytic_kl" in unknown.provides) == (True, False)
    one, other = (Elbo(samples=3)(terms(model, points, 3)) for model in (known, unknown))
    torch.testing.assert_close(one, other)


def test_analytic_requires_a_formula():
    assert Elbo(kl="analytic").requires == {"model.analytic_kl"}
    assert not Elbo().requires


def test_free_bits_are_neither_additive_nor_of_each_datum_alone():
    plain, free = Elbo(), Elbo(free_bits=0.5)
    assert (plain.additive, plain.linear, plain.batchwise) == (True, True, False)
    assert (free.additive, free.linear, free.batchwise) == (False, False, True)


@pytest.mark.statistical("log p(x) - ELBO with the KL divergence from p(z given x)", "of the 20,000 draws")
def test_gap_is_the_divergence_from_the_true_posterior(linear_model, points, chance):
    model = linear_model()
    drawn = terms(model, points, 20_000)
    truth = model.exact_posterior(points)
    q, cov = drawn.q, truth.scale_tril @ truth.scale_tril.mT
    theirs = torch.distributions.MultivariateNormal(q.loc, torch.diag_embed((2 * q.log_scale).exp()))
    gap = torch.distributions.kl_divergence(theirs, torch.distributions.MultivariateNormal(truth.loc, cov))
    per_draw = drawn.log_likelihood - drawn.kl()
    torch.testing.assert_close(Elbo()(drawn), per_draw.mean(0))
    chance.agrees(per_draw, model.exact_log_prob(points) - gap)
