"""The mixture prior against scipy."""

import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from lvmbench import DataSummary, Stream
from lvmbench_plugins.priors.mixture import MixturePrior


@pytest.fixture
def prior():
    built = MixturePrior(DataSummary((3,), "real", torch.zeros(3)), 2, components=3).double()
    with torch.no_grad():
        built.logits.copy_(torch.tensor([0.0, 1.0, -0.5]))
        built.log_scale.normal_(0, 0.3)
        built.loc.mul_(2)
    return built


def joint(prior, z):
    """log pi_c + log N(z; mu_c, sigma_c), by scipy."""
    weights = prior.logits.softmax(0).detach()
    normals = [
        stats.norm(m, s) for m, s in zip(prior.loc.detach(), prior.log_scale.exp().detach(), strict=True)
    ]
    terms = [w.log() + torch.from_numpy(n.logpdf(z)).sum(-1) for w, n in zip(weights, normals, strict=True)]
    return torch.stack(terms, -1)


def test_log_prob_is_that_of_scipy(prior):
    z = torch.randn(4, 5, 2, dtype=torch.float64) * 3
    expected = torch.from_numpy(logsumexp(joint(prior, z).numpy(), axis=-1))
    torch.testing.assert_close(prior(None).log_prob(z), expected, rtol=1e-12, atol=1e-12)


def test_assign_is_bayes_rule(prior):
    z = torch.randn(4, 2, dtype=torch.float64)
    torch.testing.assert_close(prior(None).assign(z), joint(prior, z).softmax(-1))


@pytest.mark.statistical(
    "counts of the components with their weights", "chi-squared of the counts of 20,000 draws"
)
def test_components_are_drawn_at_their_weights(prior, chance):
    """Components are too far apart to be confused."""
    with torch.no_grad():
        prior.loc.copy_(torch.tensor([[-100.0, 0.0], [0.0, 0.0], [100.0, 0.0]]))
        p = prior(None)
        chosen = p.assign(p.sample(Stream.seeded(0, dtype=torch.float64), 20_000)).argmax(-1)
        expected = 20_000 * prior.logits.softmax(0)
    chance.likely(stats.chisquare(chosen.bincount(minlength=3), expected).pvalue)


@pytest.mark.statistical("5,000 first coordinates with their law", "exact, by Kolmogorov and Smirnov")
def test_marginal_samples_follow_the_density(prior, chance):
    with torch.no_grad():
        z = prior(None).sample(Stream.seeded(1, dtype=torch.float64), 5000)[:, 0]
    weights, loc, scale = (
        t.detach().numpy() for t in (prior.logits.softmax(0), prior.loc[:, 0], prior.log_scale[:, 0].exp())
    )
    chance.likely(stats.kstest(z, lambda v: stats.norm.cdf(v[:, None], loc, scale) @ weights).pvalue)
