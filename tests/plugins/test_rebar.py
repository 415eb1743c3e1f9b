"""REBAR against the exact gradient by enumeration, and its relaxed values against their laws."""

import pytest
import torch
from scipy import stats

from lvmbench import Bernoulli, Categorical, DataSummary, LatentVariableModel, Stream
from lvmbench_plugins.decoders.gaussian import GaussianDecoder
from lvmbench_plugins.estimators.enumeration import Enumeration
from lvmbench_plugins.estimators.rebar import Rebar
from lvmbench_plugins.estimators.score import Score
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.bernoulli import BernoulliPosterior
from lvmbench_plugins.posteriors.categorical import CategoricalPosterior
from lvmbench_plugins.priors.bernoulli import BernoulliPrior
from lvmbench_plugins.priors.categorical import CategoricalPrior

DRAWS = 20_000
GROUPS = 100
DATA = DataSummary((3,), "real", torch.zeros(3))
PAIRS = [(BernoulliPrior, BernoulliPosterior), (CategoricalPrior, CategoricalPosterior)]
each_pair = pytest.mark.parametrize(("prior", "posterior"), PAIRS)
LAWS = [
    Bernoulli(torch.linspace(-2, 2, 4).double()),
    Categorical(torch.linspace(-2, 2, 6).double().reshape(2, 3)),
]
each_law = pytest.mark.parametrize("law", LAWS, ids=["bernoulli", "categorical"])


def model(prior, posterior):
    p = prior(DATA, 6)
    parts = (
        p,
        posterior(DATA, p.space, hidden=8, layers=1),
        GaussianDecoder(DATA, p.space, hidden=8, layers=1),
    )
    return LatentVariableModel(*parts).double()


def gradients(built, estimator, objective, draws=DRAWS, groups=GROUPS):
    """Gradients of the weights at one x, the posterior's first,
    each averaged over a group of draws, ``(groups, W)``.
    """
    noise = Stream.seeded(0, "rebar", dtype=torch.float64)
    weights = [w for part in (built.posterior, built.decoder) for w in part.parameters()]
    x = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64).expand(draws // groups, 3)
    found = []
    for _ in range(groups):
        surrogate = estimator(objective, built, x, noise).surrogate.mean()
        grads = torch.autograd.grad(surrogate, weights, materialize_grads=True)
        found.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(found)


@each_pair
@pytest.mark.parametrize("options", [{}, {"temperature": 0.1}, {"scale": 0.3, "temperature": 2.0}], ids=str)
@pytest.mark.statistical("mean gradients with the sum over every z", "of 100 groups of 200 draws")
def test_average_gradient_is_the_enumerated_one(prior, posterior, options, chance):
    torch.manual_seed(0)
    built = model(prior, posterior)
    exact = gradients(built, Enumeration(), Elbo(), 1, 1)[0]
    found = gradients(built, Rebar(**options), Elbo(samples=2))
    chance.agrees(found, exact, slack=1e-8)  # some weights' gradients have no variance, only rounding


@each_pair
@pytest.mark.statistical("variances of two estimators, one below 0.7 of the other", "of the 200 squares")
def test_variance_is_below_reinforce(prior, posterior, chance):
    """In the posterior's weights; the decoder's gradients are those of the score estimator."""
    torch.manual_seed(0)
    built = model(prior, posterior)
    count = sum(w.numel() for w in built.posterior.parameters())
    draws = (
        gradients(built, e, Elbo(), 200, 200)[:, :count] for e in (Rebar(), Score(DATA, built.prior.space))
    )
    ours, theirs = ((g - g.mean(0)).square().sum(1) for g in draws)
    chance.ordered(0.0, (0.7 * theirs - ours).mean(), (0.7 * theirs - ours).std() / 200**0.5)


@each_law
def test_relaxed_values_round_to_their_samples(law):
    value, first, other = law.relaxations(Stream.seeded(0, dtype=torch.float64), 1000, 0.7)
    for relaxed in (first, other):
        rounded = (relaxed > 0.5) if isinstance(law, Bernoulli) else relaxed == relaxed.amax(-1, keepdim=True)
        assert torch.equal(rounded.to(value.dtype), value)


@each_law
@pytest.mark.statistical("frequencies; two relaxed values", "binomial; exact, of two samples", comparisons=2)
def test_samples_are_of_the_law_and_both_relaxed_values_of_one_law(law, chance):
    value, first, other = law.relaxations(Stream.seeded(1, dtype=torch.float64), 20_000, 0.7)
    chance.within(value.mean(0), law.mean, (law.mean * (1 - law.mean) / 20_000).sqrt())
    halves = first[:10_000].flatten(1).unbind(1), other[10_000:].flatten(1).unbind(1)
    chance.likely(*(stats.ks_2samp(a, b).pvalue for a, b in zip(*halves, strict=True)))


@each_law
@pytest.mark.statistical("a rank correlation with 0", "exact, of the number of draws of one value")
def test_relaxed_values_given_the_sample_are_independent_of_the_first(law, chance):
    """Within draws of one value."""
    value, first, other = law.relaxations(Stream.seeded(2, dtype=torch.float64), 20_000, 0.7)
    rows, a, b = value.flatten(1), first.flatten(1), other.flatten(1)
    same = (rows[:, 0] == 1).nonzero().squeeze(1)
    chance.likely(stats.spearmanr(a[same, 0], b[same, 0]).pvalue)
