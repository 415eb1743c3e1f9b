"""Logits of beta and of Kumaraswamy variables: densities, samples, means and divergences by scipy."""

import itertools

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from lvmbench import Stream, analytic_kl
from lvmbench.distributions import LogitBeta, LogitKumaraswamy
from lvmbench.noise import Buffer

POWERS = 10.0 ** np.arange(-3, 3.1, 0.5)
GRID = np.array(list(itertools.product(POWERS, POWERS)))
Z = torch.linspace(-60, 60, 41, dtype=torch.float64)


def kumaraswamy(a, b, dtype=torch.float64):
    """One of a single event for each pair."""
    logs = (torch.as_tensor(np.log(value), dtype=dtype).unsqueeze(-1) for value in (a, b))
    return LogitKumaraswamy(*logs)


def beta(alpha, beta):
    return LogitBeta(*(torch.tensor([value], dtype=torch.float64) for value in (alpha, beta)))


def log1mexp(y):
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(y < 0.7, np.log(-np.expm1(-y)), np.log1p(-np.exp(-y)))


def logs(t, a, b):
    """log v and log (1 - v) where 1 - v^a = exp(-s), with s = exp(t) / b for an exponential exp(t)."""
    s = np.exp(t) / b
    log_v = log1mexp(s) / a
    # v is 1 but for exp(-s) / a there
    return log_v, np.where(s > 50, -s - np.log(a), log1mexp(np.minimum(-log_v, 1e300)))


def means(a, b):
    """E log v and E log (1 - v), over the log of the exponential, adaptively and for all pairs at once."""

    def integrand(t):
        return np.stack(logs(t, a, b)) * np.exp(t - np.exp(t))

    breaks = np.linspace(-40, 5, 30)
    return integrate.quad_vec(integrand, -45, 6, epsabs=1e-11, epsrel=1e-11, norm="max", points=breaks)[0]


def divergence(a, b, alpha, beta, means):
    """KL(Kumaraswamy(a, b) || Beta(alpha, beta))."""
    log_v, log_rest = means
    normaliser = special.betaln(alpha, beta)
    return np.log(a * b) - 1 + 1 / b + normaliser + (a - alpha) * log_v - (beta - 1) * log_rest


@pytest.fixture(scope="module")
def known():
    """E log v and E log (1 - v) of the grid."""
    return means(*GRID.T)


@pytest.mark.parametrize(("alpha", "b"), [(1.0, 5.0), (0.3, 0.01), (40.0, 7.0)])
def test_density_and_mean_are_those_of_the_logit_of_a_beta_variable(alpha, b):
    p, z = beta(alpha, b), np.linspace(-30, 20, 26)
    v = special.expit(z)
    truth = stats.beta(alpha, b).logpdf(v) + np.log(v) + np.log1p(-v)
    found = p.log_prob(torch.from_numpy(z).unsqueeze(-1))
    np.testing.assert_allclose(found, truth, rtol=1e-6)  # scipy's v is rounded
    np.testing.assert_allclose(p.mean, special.digamma(alpha) - special.digamma(b))


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.2), (2.0, 5.0), (1.0, 0.01)])
def test_density_is_that_of_the_logit_of_a_kumaraswamy_variable(a, b):
    z = Z[15:26]
    v = z.sigmoid()
    truth = np.log(a * b) + a * v.log() + (b - 1) * torch.log1p(-(v**a)) + torch.log1p(-v)
    torch.testing.assert_close(kumaraswamy(a, b).log_prob(z.unsqueeze(-1)), truth, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("b", POWERS)
def test_kumaraswamy_of_one_exponent_is_beta(b):
    z = Z.unsqueeze(-1)
    for q, p in ((kumaraswamy(1.0, b), beta(1.0, b)), (kumaraswamy(b, 1.0), beta(b, 1.0))):
        torch.testing.assert_close(q.log_prob(z), p.log_prob(z), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(q.mean, p.mean, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(analytic_kl(q, p), torch.zeros(()).double(), rtol=0, atol=2e-8)


def test_samples_are_quantiles_for_every_shape():
    """-b log(1 - v^a) is the exponential variable that was drawn, -log u."""
    q = kumaraswamy(*GRID.T)
    noise = Stream.seeded(0, dtype=torch.float64).uniform((20 * len(GRID),))
    z = q.sample(Buffer(noise[:0], noise), 20)
    due = -noise.reshape(20, -1).log()
    log_power = GRID[:, 0] * -np.logaddexp(0, -z[..., 0].numpy())
    kept = log_power < -1e-290  # v^a may be so near to 1 that its log is no number
    found = GRID[:, 1] * -log1mexp(-log_power)
    np.testing.assert_allclose(found[kept], due[kept], rtol=1e-9)
    # there 1 - v^a is a (1 - v) but for rounding
    near = GRID[:, 1] * (z[..., 0].numpy() - np.log(GRID[:, 0]))
    np.testing.assert_allclose(near[~kept], due[~kept], rtol=1e-9)
    assert 0 < (~kept).mean() < 0.2


def test_single_precision_has_density_samples_and_gradients():
    q, exact = kumaraswamy(*GRID.T, dtype=torch.float32), kumaraswamy(*GRID.T)
    leaves = [q.log_a.requires_grad_(), q.log_b.requires_grad_()]
    z, log_q = q.sample_and_log_prob(Stream.seeded(0), 200)
    z64 = z.detach().double()
    # a density is as exact as its z is: z times the slope may be off in the last digit
    slope = torch.func.grad(lambda value: exact.log_prob(value).sum())(z64)
    size = 1 + exact.log_prob(z64).abs() + (z64 * (1 + slope.abs())).abs().squeeze(-1)
    error = (log_q.detach() - exact.log_prob(z64)).abs() / size
    assert error.max() < 16 * torch.finfo(torch.float32).eps  # each operation rounds
    for figure in (z.mean(), log_q.mean(), q.log_prob(z.detach()).mean(), q.mean.mean()):
        found = torch.autograd.grad(figure, leaves, retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in found)


@pytest.mark.statistical("1,000 samples with their law", "exact, by Kolmogorov and Smirnov", comparisons=3)
def test_samples_follow_the_law(chance):
    for a, b in ((0.2, 0.3), (3.0, 0.5), (0.7, 20.0)):
        z = kumaraswamy(a, b).sample(Stream.seeded(chance.seed, a, dtype=torch.float64), 1000)
        law = stats.kstest(z.sigmoid().flatten().numpy(), lambda v, a=a, b=b: 1 - (1 - v**a) ** b)
        chance.likely(law.pvalue)


@pytest.mark.parametrize(
    ("alpha", "b"), [(1.0, 5.0), (1.0, 1.0), (1.0, 0.1), (1.0, 100.0), (0.2, 0.3), (30.0, 2.0)]
)
def test_divergence_is_that_of_scipy(known, alpha, b):
    """For a and b from 1e-3 to 1e3."""
    found = analytic_kl(kumaraswamy(*GRID.T), beta(alpha, b))
    np.testing.assert_allclose(found, divergence(*GRID.T, alpha, b, known), rtol=1e-7, atol=1e-6)


def test_divergence_in_single_precision(known):
    p = LogitBeta(torch.ones(1), torch.full((1,), 5.0))
    found = analytic_kl(kumaraswamy(*GRID.T, dtype=torch.float32), p)
    np.testing.assert_allclose(found, divergence(*GRID.T, 1.0, 5.0, known), rtol=1e-5, atol=2e-5)


def test_means_are_those_of_scipy(known):
    log_v, log_rest = known
    np.testing.assert_allclose(kumaraswamy(*GRID.T).mean.squeeze(-1), log_v - log_rest, rtol=1e-7, atol=1e-7)


def test_gradients_of_the_divergence_are_those_of_differences():
    """Of scipy's figures, by differences of fourth order."""
    pairs, step = GRID[::7], 2e-2
    a, b = torch.as_tensor(np.log(pairs)).T.unsqueeze(-1).unbind()
    q = LogitKumaraswamy(a.clone().requires_grad_(), b.clone().requires_grad_())
    found = torch.autograd.grad(analytic_kl(q, beta(1.0, 5.0)).sum(), [q.log_a, q.log_b])

    def moved(axis, times):
        values = np.exp(np.log(pairs) + times * step * np.eye(2)[axis]).T
        return divergence(*values, 1.0, 5.0, means(*values))

    for axis, gradient in enumerate(found):
        near, far = (moved(axis, n) - moved(axis, -n) for n in (1, 2))
        np.testing.assert_allclose(gradient.squeeze(-1), (8 * near - far) / (12 * step), rtol=1e-5, atol=1e-5)
