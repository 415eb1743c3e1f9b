"""Relaxed samples: their distribution, their limit, and that the model measured is the discrete one."""

import pytest
import torch
from scipy import stats

from lvmbench import (
    Bernoulli,
    Categorical,
    DataSummary,
    LatentSpace,
    LatentVariableModel,
    Refusal,
    Stream,
    Terms,
    analytic_kl,
)
from lvmbench.distributions.relaxed import (
    RelaxedBernoulli,
    RelaxedCategorical,
    StraightThroughBernoulli,
    StraightThroughCategorical,
)
from lvmbench.options import OptionError, resolve
from lvmbench_plugins.decoders.gaussian import GaussianDecoder
from lvmbench_plugins.estimators.pathwise import Pathwise
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.relaxed import RelaxedPosterior
from lvmbench_plugins.priors.bernoulli import BernoulliPrior
from lvmbench_plugins.priors.categorical import CategoricalPrior

DATA = DataSummary((3,), "real", torch.zeros(3))
LOGITS = torch.tensor([[0.3, -1.0, 1.2], [0.0, 0.5, -0.5]], dtype=torch.float64)
KINDS = [
    (Bernoulli, RelaxedBernoulli),
    (Bernoulli, StraightThroughBernoulli),
    (Categorical, RelaxedCategorical),
    (Categorical, StraightThroughCategorical),
]


def noise():
    return Stream.seeded(0, dtype=torch.float64)


def temperature(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.statistical("counts of 10,000 draws with the mass", "chi-squared of the counts")
def test_cold_gumbel_softmax_draws_the_categorical(chance):
    law = Categorical(LOGITS)
    z = RelaxedCategorical(law, temperature(1e-6)).sample(noise(), 10_000)
    assert ((z < 1e-6) | (z > 1 - 1e-6)).double().mean() > 0.999
    counts, expected = z.round().sum(0), 10_000 * law.mean
    due = expected * (counts.sum(1) / expected.sum(1)).unsqueeze(1)
    chance.likely(*stats.chisquare(counts, due, axis=1).pvalue)


@pytest.mark.parametrize("tau", [0.3, 1.0])
@pytest.mark.statistical("10,000 draws with their law", "exact, by Kolmogorov and Smirnov")
def test_binary_concrete_has_its_distribution(tau, chance):
    """P(z <= v) = sigmoid(tau logit v - l)."""
    logit = torch.tensor([0.7], dtype=torch.float64)
    z = RelaxedBernoulli(Bernoulli(logit), temperature(tau)).sample(noise(), 10_000)[:, 0]
    # compared as logits, where values that round to 1 stay apart
    chance.likely(stats.kstest(z.logit().numpy(), lambda v: stats.logistic.cdf(tau * v - 0.7)).pvalue)


@pytest.mark.parametrize("tau", [0.1, 2.0])
def test_rounded_binary_samples_are_the_draws_of_the_law(tau):
    law = Bernoulli(LOGITS[0])
    z = StraightThroughBernoulli(law, temperature(tau)).sample(noise(), 1000)
    torch.testing.assert_close(z, law.sample(noise(), 1000))


@pytest.mark.parametrize(("law", "kind"), KINDS)
def test_kl_is_the_discrete_one(law, kind):
    q, p = law(LOGITS), law(torch.zeros_like(LOGITS))
    torch.testing.assert_close(analytic_kl(kind(q, temperature(0.5)), p), analytic_kl(q, p))


@pytest.mark.parametrize("straight_through", [False, True])
@pytest.mark.parametrize("prior", [BernoulliPrior, CategoricalPrior])
@pytest.mark.statistical("mean bounds with the enumerated ELBO", "of the 5,000 draws", comparisons=2)
def test_model_is_measured_with_the_discrete_law(prior, straight_through, chance):
    p = prior(DATA, 3)
    q = RelaxedPosterior(DATA, p.space, hidden=8, straight_through=straight_through)
    model = LatentVariableModel(p, q, GaussianDecoder(DATA, p.space, hidden=8)).double()
    x, z = torch.linspace(-1, 1, 12).reshape(4, 3).double(), p.space.values(LOGITS).unsqueeze(1)
    law = model.q(x).law
    elbo = (law.log_prob(z).exp() * (model.log_joint(x, z) - law.log_prob(z))).sum(0).detach()
    model.eval()
    assert type(model.q(x)) is type(law)
    log_w = Terms(model, x, noise(), 5000).log_w().detach()
    chance.agrees(log_w, elbo, slack=1e-9)
    model.train()
    reported = Pathwise()(Elbo(samples=5000, kl="sampled"), model, x, noise()).bound.detach()
    chance.within(reported, elbo, log_w.std(0) / 5000**0.5, slack=1e-9)


def test_temperature_is_annealed_only_while_training():
    q = RelaxedPosterior(DATA, LatentSpace((2,), "binary"), temperature=1.0, final_temperature=0.25, anneal=2)
    x = torch.zeros(1, 3)
    found = [q(x, None).temperature.item() for _ in range(4)]
    assert found == pytest.approx([1.0, 0.5, 0.25, 0.25])
    q.eval()
    before = q.steps.clone()
    q(x, None)
    assert torch.equal(q.steps, before)


def test_temperature_of_0_is_refused():
    with pytest.raises(OptionError, match="'temperature' should be greater than 0"):
        resolve(RelaxedPosterior, {"temperature": 0.0}, "posterior 'relaxed'")


def test_real_latents_are_refused():
    with pytest.raises(Refusal, match="binary or one_hot support, got 'real'"):
        RelaxedPosterior(DATA, LatentSpace((2,)))


def test_classes_that_do_not_divide_are_refused():
    with pytest.raises(Refusal, match="got latent size 5 and 3 classes"):
        CategoricalPrior(DATA, 5, classes=3)
