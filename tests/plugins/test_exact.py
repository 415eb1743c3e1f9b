"""The exact posterior of linear-Gaussian models against the joint normal of (z, x), by scipy."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from lvmbench import DiagonalNormal, Mixture, MultivariateNormal, Stream
from lvmbench.divergence import posterior_type
from lvmbench.terms import Terms
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae


def normals(model):
    """Weight, mean and variances of each component of the prior, and W, b, sigma^2, as arrays."""
    p, d = model.p(), model.decoder
    parts = getattr(p, "components", p)
    arrays = [t.detach().numpy() for t in (parts.loc, parts.log_scale, d.weight, d.bias, d.log_scale)]
    loc, log_scale, W, b, log_noise = arrays
    weights = p.log_weights.exp().detach().numpy() if hasattr(p, "components") else np.ones(1)
    return (
        list(zip(weights, np.atleast_2d(loc), np.exp(2 * np.atleast_2d(log_scale)), strict=True)),
        W,
        b,
        np.exp(2 * log_noise),
    )


def log_evidence(model, x):
    """log pi_c + log N(x; W mu_c + b, W S_c W' + sigma^2 I), (B, C)."""
    components, W, b, noise = normals(model)
    laws = [
        (w, stats.multivariate_normal(W @ m + b, W @ np.diag(v) @ W.T + noise * np.eye(3)))
        for w, m, v in components
    ]
    return np.stack([np.log(w) + law.logpdf(x) for w, law in laws], -1)


def log_conditional(model, x, z):
    """log p(z|x) from the joint normal of (z, x) of each component: (B,)."""
    components, W, b, noise = normals(model)
    shares = log_evidence(model, x)
    shares -= logsumexp(shares, axis=-1, keepdims=True)
    found = []
    for i, (_, m, v) in enumerate(components):
        gain = np.diag(v) @ W.T @ np.linalg.inv(W @ np.diag(v) @ W.T + noise * np.eye(3))
        cov = np.diag(v) - gain @ W @ np.diag(v)
        means = m + (x.numpy() - W @ m - b) @ gain.T
        found.append(
            shares[:, i]
            + [stats.multivariate_normal(a, cov).logpdf(c) for a, c in zip(means, z, strict=True)]
        )
    return logsumexp(np.stack(found), axis=0)


PRIORS = ["standard_normal", "mixture[components=3,spread=2]"]


@pytest.fixture(params=PRIORS)
def model(request, linear_model):
    built = linear_model("exact", request.param)
    with torch.no_grad():
        for weight in built.prior.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return built


def test_log_density_of_x_is_that_of_scipy(model, points):
    expected = torch.from_numpy(logsumexp(log_evidence(model, points), axis=-1))
    torch.testing.assert_close(model.exact_log_prob(points).detach(), expected, rtol=0, atol=1e-9)


def test_posterior_is_the_true_conditional(model, points):
    q = model.q(points)
    z = q.sample(Stream.seeded(0, dtype=torch.float64), 1)[0].detach()
    for value in (z, z + 1):
        expected = torch.from_numpy(log_conditional(model, points, value))
        torch.testing.assert_close(q.log_prob(value).detach(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "objective", [Elbo(samples=3), Elbo(kl="analytic"), Iwae(samples=4)], ids=["elbo", "analytic", "iwae"]
)
@pytest.mark.statistical("the bound with log p(x)", "of the 200,000 draws of the likelihood")
def test_bound_is_tight_for_every_draw(model, points, objective, chance):
    """The log weights are constant, so a sampled bound has no variance.

    The closed-form KL leaves that of the likelihood.
    """
    terms = Terms(model, points, Stream.seeded(0, dtype=torch.float64), objective.samples)
    if objective.requires <= {f"model.{name}" for name in model.provides} and objective.requires:
        terms.samples = 200_000
        error = terms.log_likelihood.std(0) / terms.samples**0.5
        chance.within(objective(terms), model.exact_log_prob(points), error)
    else:
        torch.testing.assert_close(objective(terms), model.exact_log_prob(points), rtol=0, atol=1e-6)


def test_model_says_what_is_known_of_the_pair(linear_model):
    assert linear_model("exact", PRIORS[0]).provides == {"exact_posterior", "analytic_kl"}
    assert linear_model("exact", PRIORS[1]).provides == {"exact_posterior"}


def test_the_posterior_of_a_mixture_of_normals_is_not_that_of_another_mixture():
    assert posterior_type(Mixture[DiagonalNormal], LinearGaussian) == Mixture[MultivariateNormal]
    assert posterior_type(Mixture[MultivariateNormal], LinearGaussian) is None


@pytest.mark.statistical("gradients with those of log p(x)", "of 100 groups of 200 draws")
def test_gradient_of_the_tight_bound_is_that_of_log_p(linear_model, points, chance):
    """Fisher's identity: with q = p(z|x) held fixed, E_q[grad log p(x, z)] = grad log p(x)."""
    model = linear_model("exact")
    weights = list(model.decoder.parameters())
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(model.exact_log_prob(points).sum(), weights)])
    z = model.q(points).sample(Stream.seeded(0, dtype=torch.float64), 20_000).detach()
    groups = [
        torch.autograd.grad(model.log_joint(points, part).sum() / len(part), weights) for part in z.chunk(100)
    ]
    chance.agrees(torch.stack([torch.cat([g.flatten() for g in group]) for group in groups]), exact)
