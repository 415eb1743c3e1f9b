"""Tightness against linear-Gaussian models, whose log p(x) and gap are known."""

import dataclasses
import math

import pytest
import torch

from lvmbench import (
    Bernoulli,
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Mixture,
    Posterior,
    Refusal,
    Split,
    Subject,
    Workload,
)
from lvmbench.checks.toy_parts import ToyDecoder, ToyPosterior, ToyPrior
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators.tightness import Tightness
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.objectives.iwae import Iwae
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.posteriors.gaussian import Gaussian
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal


class Beside(Posterior):
    """A normal with independent coordinates, beside the true posterior and half as wide again in each.

    It is wide enough for bounded weights and near enough for many effective samples, whatever the model's
    weights.
    """

    distribution = DiagonalNormal

    def __init__(self, data, space):
        super().__init__()

    def forward(self, x, model):
        truth = model.exact_posterior(x)
        parts = truth.components if isinstance(truth, Mixture) else truth
        logits = truth.log_weights if isinstance(truth, Mixture) else torch.zeros(len(x), 1)
        loc = parts.loc.reshape(len(x), -1, 2)
        within = parts.scale_tril.square().sum(-1).expand(parts.loc.shape).reshape(loc.shape)
        second = (logits.exp().unsqueeze(-1) * (loc.square() + within)).sum(1)
        scale = (second - truth.mean.square()).sqrt()
        return DiagonalNormal(truth.mean + 0.3 * scale, (1.5 * scale).log())


def linear(posterior=Beside, prior=StandardNormal, count=50, objective=None, **fields):
    """A model of 3 values from 2 latents, at the same initial weights each time, and data of spread 1.5."""
    torch.manual_seed(0)
    summary = DataSummary((3,), "real", torch.zeros(3))
    p = prior(summary, 2)
    model = LatentVariableModel(p, posterior(summary, p.space), LinearGaussian(summary, p.space, noise=0.7))
    x = 1.5 * torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    provides = frozenset(f"model.{name}" for name in model.provides)
    return Subject(model, objective or Elbo(), {}, data, seed=0, provides=provides, **fields)


def measure(subject, **options):
    return {(m.metric, m.method): m for m in Tightness(**options).evaluate(subject)}


def true_gap(subject):
    """The mean of KL(q(z|x) || p(z|x)) over the data."""
    q, truth = subject.model.q(subject.x), subject.model.exact_posterior(subject.x)
    ours = torch.distributions.MultivariateNormal(q.loc, torch.diag_embed((2 * q.log_scale).exp()))
    theirs = torch.distributions.MultivariateNormal(truth.loc, scale_tril=truth.scale_tril)
    return torch.distributions.kl_divergence(ours, theirs).mean().item()


@pytest.mark.parametrize("prior", [StandardNormal, MixturePrior])
def test_exact_posterior_leaves_no_gap_and_no_error(prior):
    found = measure(linear(Exact, prior), samples=100)
    exact = found["log_likelihood", "exact"]
    assert abs(found["gap", "exact"].value) < 1e-4
    assert found["elbo", ""].stderr < 1e-4
    assert found["log_likelihood", "importance"].value == pytest.approx(exact.value, abs=1e-4)
    assert found["effective_sample_size", ""].value == pytest.approx(100, rel=1e-4)
    assert exact.stderr == 0.0


@pytest.mark.parametrize("prior", [StandardNormal, MixturePrior])
@pytest.mark.statistical("log p(x) at S = 1000 with the exact one", "stated, over 50 data")
def test_importance_sampling_agrees_with_the_exact_value(prior, chance):
    found = measure(linear(prior=prior))
    sampled, exact = found["log_likelihood", "importance"], found["log_likelihood", "exact"]
    chance.within(sampled.value, exact.value, sampled.stderr)
    assert 0 < sampled.stderr < 0.05, "too coarse to see an error"
    assert exact.per_datum.shape == sampled.per_datum.shape == (50,)


def bits(count=400):
    """A model with one binary latent, so that log p(x) is a sum of two terms."""
    model = LatentVariableModel(ToyPrior(Bernoulli, 0.0), ToyPosterior(Bernoulli, 0.0), ToyDecoder(0.0))
    x = 1.5 * torch.randn(count, 1, generator=torch.Generator().manual_seed(1))
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    z = torch.tensor([0.0, 1.0]).expand(count, 1, 2).permute(2, 0, 1)
    return Subject(model, Elbo(), {}, data, seed=0), model.log_joint(x, z).logsumexp(0).detach()


def known_models():
    for prior in (StandardNormal, lambda data, latent: MixturePrior(data, latent, components=2)):
        subject = linear(prior=prior, count=400)
        yield subject, subject.model.exact_log_prob(subject.x).detach()
    yield bits()


@pytest.mark.statistical("p-hat / p with 1", "of the ratios of 400 data", comparisons=15)
def test_mean_weight_is_p_of_x_at_any_number_of_samples(chance):
    """It is held to p-hat and not to its log, which is biased by as much as its error where samples are few.

    The stated error falls as S grows, where it is stated: at S = 10 it may not be.
    """
    for subject, exact in known_models():
        found = [
            measure(subject, samples=s, repeats=2)["log_likelihood", "importance"]
            for s in (10, 100, 1000, 5000)
        ]
        for m in found:
            chance.agrees((m.per_datum - exact).double().exp(), 1.0)
        errors = [m.stderr for m in found if m.stderr is not None]
        assert len(errors) >= 3
        assert errors == sorted(errors, reverse=True)
        # with samples enough, the log is within its stated error as well
        chance.within(found[-1].value, exact.mean(), errors[-1])


def test_decoder_is_evaluated_as_often_as_said():
    subject, pairs = dataclasses.replace(linear(objective=Iwae(samples=5)), provides=frozenset()), []
    subject.model.decoder.register_forward_hook(lambda _, args, __: pairs.append(args[0].shape[:2].numel()))
    measure(subject, samples=130, repeats=10)
    assert sum(pairs) == Tightness(samples=130, repeats=10).evaluations(
        Workload(subject.objective, {}, {"test": len(subject.x)})
    )


def test_what_is_kept_of_a_batch_is_bounded():
    """At very many samples, batches are smaller."""
    subject, sizes = linear(count=50), []
    subject.model.decoder.register_forward_hook(lambda _, args, __: sizes.append(args[0].shape[1]))
    measure(subject, samples=500, repeats=2, chunk=100)
    assert max(sizes) == 10
    sizes.clear()
    measure(subject, samples=5000, repeats=2, chunk=100)
    assert max(size for size in sizes if size != 50) == 2


@pytest.mark.statistical("the gap with the KL divergence", "stated, over 50 data", comparisons=2)
def test_gap_is_the_divergence_from_the_true_posterior(chance):
    """By either way of finding log p(x)."""
    subject = linear()
    sampled = dataclasses.replace(subject, provides=frozenset())
    for gap in (measure(subject)["gap", "exact"], measure(sampled)["gap", "importance"]):
        chance.within(gap.value, true_gap(subject), gap.stderr)
        assert 0 < gap.stderr < 0.03


def test_elbo_and_gap_add_up_to_log_p():
    found = measure(linear())
    total = found["elbo", ""].per_datum + found["gap", "exact"].per_datum
    torch.testing.assert_close(total, found["log_likelihood", "exact"].per_datum)


@pytest.mark.statistical("errors at S and 16 S", "of eight pairs", comparisons=3)
def test_error_falls_as_the_root_of_the_samples(chance):
    """To a hundredth, as the error of log p(x) has terms of higher order."""
    subjects = [dataclasses.replace(linear(), seed=seed) for seed in range(8)]
    few, many = ([measure(s, samples=samples) for s in subjects] for samples in (250, 4000))
    for key in (("elbo", ""), ("log_likelihood", "importance"), ("gap", "exact")):
        ratios = [math.log(4 * b[key].stderr / a[key].stderr) for a, b in zip(few, many, strict=True)]
        chance.agrees(ratios, slack=0.01)


@pytest.mark.statistical(
    "ELBO, IWAE-5, IWAE-50 and log p(x), in order", "stated, over 50 data", comparisons=4
)
def test_bounds_tighten_with_their_samples(chance):
    bounds = [measure(linear(objective=Iwae(samples=k)), samples=2000)["bound", ""] for k in (1, 5, 50)]
    exact = measure(linear())["log_likelihood", "exact"]
    for lower, upper in zip(bounds, [*bounds[1:], exact], strict=True):
        chance.within(lower.value, upper.value, math.hypot(lower.stderr, upper.stderr), above=True)
    chance.ordered(bounds[0].value, exact.value, bounds[0].stderr)  # the data tell the bounds apart


@pytest.mark.statistical("the bound at beta 4 with the ELBO less 3 KL", "stated, over 50 data")
def test_bound_is_the_objectives_own(chance):
    subject = linear(objective=Elbo(beta=4.0))
    found = measure(subject)
    q = subject.model.q(subject.x)
    kl = 0.5 * ((2 * q.log_scale).exp() + q.loc**2 - 1 - 2 * q.log_scale).sum(-1).mean().item()
    bound, elbo = found["bound", ""], found["elbo", ""]
    chance.within(bound.value, elbo.value - 3 * kl, math.hypot(bound.stderr, elbo.stderr))


@pytest.mark.parametrize("prior", [StandardNormal, MixturePrior])
@pytest.mark.statistical(
    "the spread over 60 seeds with the stated error", "stated, chi-squared", comparisons=4
)
def test_standard_errors_are_those_of_repeated_evaluation(prior, chance):
    subject = dataclasses.replace(linear(prior=prior, count=20), provides=frozenset())
    runs = [measure(dataclasses.replace(subject, seed=seed), samples=200, repeats=20) for seed in range(60)]
    for key in (("elbo", ""), ("bound", ""), ("log_likelihood", "importance"), ("gap", "importance")):
        values = torch.tensor([run[key].value for run in runs], dtype=torch.float64)
        stated = torch.tensor([run[key].stderr for run in runs], dtype=torch.float64)
        chance.spreads(values, stated)


def test_samples_are_honoured_within_the_memory_bound():
    """Every datum is decoded S times for log p, at most ``chunk`` pairs at once, and encoded but twice."""
    subject, pairs, encoded = linear(objective=Iwae(samples=5)), [], []
    subject.model.decoder.register_forward_hook(lambda _, args, __: pairs.append(args[0].shape[:2].numel()))
    subject.model.posterior.register_forward_hook(lambda _, args, __: encoded.append(len(args[0])))
    found = measure(dataclasses.replace(subject, provides=frozenset()), samples=130, repeats=10, chunk=100)
    assert sum(pairs) == 50 * (130 + 10 * 5)
    assert max(pairs) <= 100
    assert sum(encoded) == 100
    assert found["effective_sample_size", ""].value <= 130


@pytest.mark.statistical("figures of two chunkings", "stated, over 50 data", comparisons=3)
def test_chunks_change_nothing_but_the_draws(chance):
    one, other = measure(linear(), chunk=30), measure(linear())
    for key in (("elbo", ""), ("log_likelihood", "importance"), ("gap", "exact")):
        error = math.hypot(one[key].stderr, other[key].stderr)
        chance.within(one[key].value, other[key].value, error)


def test_some_data_are_drawn_from_the_split():
    """Their exact log p(x) is what the mean is of, and there is no figure of each datum of the split."""
    subject = linear(Exact)
    exact = measure(subject, samples=4, data=7)["log_likelihood", "exact"]
    every = subject.model.exact_log_prob(subject.x)
    rows = subject.noise("some data").uniform((50,)).argsort()[:7]
    assert exact.value == pytest.approx(every[rows].mean().item(), rel=1e-6)
    assert exact.per_datum is None


def test_large_log_weights_do_not_overflow():
    """An untrained encoder knows nothing of the posterior: one sample carries all the weight."""
    subject = linear(Gaussian)
    subject.model.decoder.log_scale.data.fill_(-6.0)
    found = measure(subject, samples=50)
    assert found["elbo", ""].value < -1e4
    assert 1 <= found["effective_sample_size", ""].value < 2


def test_data_density_is_given_where_it_is_known():
    subject = linear()
    data = dataclasses.replace(subject.data, log_prob=lambda x: -x.square().sum(-1))
    found = measure(dataclasses.replace(subject, data=data))["data_log_prob", "exact"]
    assert found.value == pytest.approx(-subject.x.square().sum(-1).mean().item())
    assert found.stderr == 0.0
    assert ("data_log_prob", "exact") not in measure(subject)


def test_every_metric_is_declared():
    assert {m.metric for m in Tightness(samples=10).evaluate(linear())} <= set(Tightness.metrics)


def test_values_that_are_not_finite_are_refused():
    subject = linear()
    subject.model.decoder.bias.data.fill_(math.inf)
    with pytest.raises(Refusal, match="not finite, for 50 of 50 data"):
        measure(subject, samples=10)
