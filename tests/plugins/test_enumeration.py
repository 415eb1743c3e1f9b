"""The sum over every z against autograd of the enumerated ELBO,
and the exact posterior of discrete latents.
"""

import pytest
import torch

from lvmbench import DataSummary, Finite, LatentVariableModel, Stream
from lvmbench_plugins.decoders.gaussian import GaussianDecoder
from lvmbench_plugins.estimators.enumeration import Enumeration
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.bernoulli import BernoulliPosterior
from lvmbench_plugins.posteriors.categorical import CategoricalPosterior
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.priors.bernoulli import BernoulliPrior
from lvmbench_plugins.priors.categorical import CategoricalPrior

DATA = DataSummary((3,), "real", torch.zeros(3))
X = torch.linspace(-1, 1, 15).reshape(5, 3).double()


def bits(data, latent):
    return BernoulliPrior(data, latent, learned=True)


def classes(data, latent):
    return CategoricalPrior(data, latent, classes=3, learned=True)


def model(prior, posterior):
    """A small model of 6 latent values in double precision, with a prior that is not uniform."""
    p = prior(DATA, 6)
    with torch.no_grad():
        p.logits.copy_(torch.linspace(-1, 1, 6).reshape(p.logits.shape))
    parts = (p, posterior(DATA, p.space), GaussianDecoder(DATA, p.space, hidden=8, layers=1))
    return LatentVariableModel(*parts).double()


PAIRS = [(bits, BernoulliPosterior), (classes, CategoricalPosterior), (bits, Exact), (classes, Exact)]
each_pair = pytest.mark.parametrize(("prior", "posterior"), PAIRS)


@each_pair
@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_gradient_is_that_of_the_enumerated_elbo(prior, posterior, kl):
    built = model(prior, posterior)
    weights = [w for w in built.parameters() if w.requires_grad]
    found = Enumeration()(Elbo(kl=kl), built, X, Stream.seeded(0, dtype=torch.float64))
    z = built.prior.space.values(X).unsqueeze(1)
    log_q = built.q(X).log_prob(z)
    elbo = (log_q.exp() * (built.log_joint(X, z) - log_q)).sum(0)
    torch.testing.assert_close(found.bound, elbo)
    ours, theirs = (torch.autograd.grad(v.sum(), weights) for v in (found.surrogate, elbo))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("prior", [bits, classes])
def test_exact_posterior_is_bayes_rule_and_its_gradient_that_of_log_p(prior):
    built = model(prior, Exact)
    z = built.prior.space.values(X)
    joint = torch.stack([built.log_joint(X, v.expand(1, 5, *v.shape))[0] for v in z])
    q = built.q(X)
    assert isinstance(q, Finite)
    torch.testing.assert_close(q.log_weights, joint.log_softmax(0).T)
    torch.testing.assert_close(built.exact_log_prob(X), joint.logsumexp(0))
    weights = list(built.decoder.parameters())
    found = Enumeration()(Elbo(), built, X, Stream.seeded(0, dtype=torch.float64))
    ours, theirs = (torch.autograd.grad(v.sum(), weights) for v in (found.surrogate, built.exact_log_prob(X)))
    torch.testing.assert_close(found.bound, built.exact_log_prob(X))
    torch.testing.assert_close(ours, theirs)
