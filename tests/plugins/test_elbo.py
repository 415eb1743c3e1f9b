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
    difference = (drawn.log_q - drawn.log_prior) - drawn.kl()
    chance.agrees(difference)
    torch.testing.assert_close(
        Elbo(kl="analytic")(drawn) - Elbo(kl="sampled")(drawn), difference.mean(0), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("kl", ["auto", "analytic", "sampled"])
@pytest.mark.parametrize(("beta", "weight"), [(1.0, 1.0), (4.0, 1.0), (0.5, 1.0), (2.0, 0.25), (1.0, 0.0)])
def test_kl_counts_beta_times_kl_weight(linear_model, points, kl, beta, weight):
    drawn = terms(linear_model(), points, 3)
    divergence = (drawn.log_q - drawn.log_prior).mean(0) if kl == "sampled" else analytic_kl(drawn.q, drawn.p)
    expected = drawn.log_likelihood.mean(0) - weight * beta * divergence
    torch.testing.assert_close(Elbo(samples=3, beta=beta, kl=kl)(drawn, weight), expected)


@pytest.mark.parametrize(("beta", "lower"), [(0.0, False), (0.99, False), (1.0, True), (4.0, True)])
def test_is_a_lower_bound_from_beta_1_on(beta, lower):
    assert Elbo(beta=beta).lower_bound is lower


def test_auto_samples_the_kl_where_no_formula_is_known(linear_model, points):
    model = linear_model(prior="mixture[components=3]")
    assert "analytic_kl" not in model.provides
    auto, sampled = (Elbo(samples=3, kl=kl)(terms(model, points, 3)) for kl in ("auto", "sampled"))
    torch.testing.assert_close(auto, sampled)


def test_analytic_requires_a_formula():
    assert Elbo(kl="analytic").requires == {"model.analytic_kl"}
    assert not Elbo(kl="auto").requires


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
