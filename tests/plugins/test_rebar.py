"""REBAR against the exact gradient by enumeration, and its relaxed values against their laws."""

import math

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
    """Gradients of the weights at one x, the posterior's first, each averaged over a group of draws, ``(groups, W)``."""
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
def test_average_gradient_is_the_enumerated_one(prior, posterior, options):
    """All weights at once by their largest z: false-alarm rate below 1e-3 by a union bound over normal tails."""
    torch.manual_seed(0)
    built = model(prior, posterior)
    exact = gradients(built, Enumeration(), Elbo(), 1, 1)[0]
    found = gradients(built, Rebar(**options), Elbo(samples=2))
    moves = found.std(0) > 1e-9
    z = ((found.mean(0) - exact).abs() / found.std(0) * GROUPS**0.5)[moves]
    torch.testing.assert_close(found.mean(0)[~moves], exact[~moves])
    assert z.max() < stats.t.isf(5e-4 / len(z), GROUPS - 1)


@each_pair
def test_variance_is_below_reinforce(prior, posterior):
    """In the posterior's weights; the decoder's gradients are those of the score estimator."""
    torch.manual_seed(0)
    built = model(prior, posterior)
    count = sum(w.numel() for w in built.posterior.parameters())
    ours, theirs = (
        gradients(built, e, Elbo(), 600, 600)[:, :count].var(0).sum()
        for e in (Rebar(), Score(DATA, built.prior.space))
    )
    assert ours < 0.7 * theirs


@each_law
def test_relaxed_values_round_to_their_samples(law):
    value, first, other = law.relaxations(Stream.seeded(0, dtype=torch.float64), 1000, 0.7)
    for relaxed in (first, other):
        rounded = (relaxed > 0.5) if isinstance(law, Bernoulli) else relaxed == relaxed.amax(-1, keepdim=True)
        assert torch.equal(rounded.to(value.dtype), value)


@each_law
def test_samples_are_of_the_law_and_both_relaxed_values_of_one_law(law):
    """Frequencies within 4 errors, and a two-sample test of each coordinate at 1e-4."""
    value, first, other = law.relaxations(Stream.seeded(1, dtype=torch.float64), 20_000, 0.7)
    error = (law.mean * (1 - law.mean) / 20_000).sqrt()
    assert ((value.mean(0) - law.mean).abs() <= 4 * error).all()
    halves = first[:10_000].flatten(1).unbind(1), other[10_000:].flatten(1).unbind(1)
    assert all(stats.ks_2samp(a, b).pvalue > 1e-4 for a, b in zip(*halves, strict=True))


@each_law
def test_relaxed_values_given_the_sample_are_independent_of_the_first(law):
    """Within draws of one value, the rank correlation is within 4.5 errors of none."""
    value, first, other = law.relaxations(Stream.seeded(2, dtype=torch.float64), 20_000, 0.7)
    rows, a, b = value.flatten(1), first.flatten(1), other.flatten(1)
    same = (rows[:, 0] == 1).nonzero().squeeze(1)
    assert abs(stats.spearmanr(a[same, 0], b[same, 0]).statistic) < 4.5 / math.sqrt(len(same))
