"""Annealed importance sampling and the sandwich against linear-Gaussian models, whose log p(x) is known."""

import dataclasses

import pytest
import torch

from lvmbench import Data, DataSummary, LatentVariableModel, Split, Stream, Subject, Workload
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators._annealing import schedule
from lvmbench_plugins.evaluators.ais import Ais
from lvmbench_plugins.evaluators.bdmc import Bdmc
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.priors.standard_normal import StandardNormal


def linear(latent=10, values=20, variance=0.1, count=64):
    """Data from a linear-Gaussian model, and the model."""
    torch.manual_seed(0)
    summary = DataSummary((values,), "real", torch.zeros(values))
    p = StandardNormal(summary, latent)
    decoder = LinearGaussian(summary, p.space, noise=variance**0.5)
    model = LatentVariableModel(p, Exact(summary, p.space), decoder).eval()
    x = model.generate(Stream.seeded(1, "data"), count)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, Elbo(), {}, data, seed=0, provides=frozenset({"model.exact_posterior"}))


def measure(evaluator, subject):
    return {(m.metric, m.variant, m.method): m for m in evaluator.evaluate(subject)}


def sandwich(subject, **options):
    found = measure(Bdmc(data=64, **options), subject)
    names = (("simulated/lower", "bdmc"), ("simulated", "exact"), ("simulated/upper", "bdmc"))
    return [found["log_likelihood", *name] for name in names], found["sandwich_gap", "", "bdmc"]


def test_schedule_is_a_sigmoid_from_0_to_1():
    betas = torch.tensor(schedule(100))
    assert (betas[0], betas[-1]) == (0, 1)
    torch.testing.assert_close(betas + betas.flip(0), torch.ones(101))
    assert (betas.diff() > 0).all()
    assert betas.diff()[50] > 10 * betas.diff()[0]


@pytest.mark.statistical("log p(x) with the exact one", "stated, of 4,000 chains")
def test_mean_weight_is_p_of_x(chance):
    """The weights themselves are unbiased at any number of temperatures, here 10."""
    subject = linear(latent=2, values=3, variance=0.5, count=8)
    exact = subject.model.exact_log_prob(subject.x).detach()
    found = measure(Ais(temperatures=10, chains=4000), subject)["log_likelihood", "", "ais"]
    chance.within(found.value, exact.mean(), found.stderr)
    assert found.stderr < 0.02


@pytest.mark.statistical("bounds with the exact value", "stated, of 64 data", comparisons=3)
def test_sandwich_holds_the_exact_value(chance):
    (lower, exact, upper), gap = sandwich(linear(latent=4, values=5), temperatures=300, chains=8)
    chance.within(lower.value, exact.value, lower.stderr, above=True)
    chance.within(exact.value, upper.value, upper.stderr, above=True)
    assert gap.value == pytest.approx(upper.value - lower.value)
    chance.within(0.0, gap.value, gap.stderr, above=True)
    assert gap.value < 1


@pytest.mark.slow
@pytest.mark.statistical("bounds with the exact value", "stated, of 64 data", comparisons=2)
def test_sandwich_of_many_temperatures_is_narrow(chance):
    (lower, exact, upper), gap = sandwich(linear(), temperatures=2000)
    chance.within(lower.value, exact.value, lower.stderr, above=True)
    chance.within(exact.value, upper.value, upper.stderr, above=True)
    assert gap.value < 1


def test_more_temperatures_narrow_the_sandwich():
    few, many = (sandwich(linear(), temperatures=t, chains=4)[1] for t in (20, 200))
    assert few.value > 2 * many.value


@pytest.mark.parametrize("evaluator", [Ais, Bdmc])
def test_nothing_is_left_to_do_from_the_true_posterior(evaluator):
    """Every weight is p(x) itself."""
    found = measure(evaluator(start="posterior", temperatures=20, chains=4), linear())
    values = [m for (metric, *_), m in found.items() if metric == "log_likelihood"]
    exact = linear().model.exact_log_prob(linear().x).mean().item() if evaluator is Ais else values[-1].value
    for m in values:
        assert m.value == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("evaluator", [Ais, Bdmc])
def test_transitions_are_accepted_about_as_often_as_aimed_at(evaluator):
    found = measure(evaluator(chains=4), linear())
    rates = [m.value for (metric, *_), m in found.items() if metric == "acceptance_rate"]
    assert all(0.5 < rate < 0.9 for rate in rates)


def test_decoder_is_evaluated_as_often_as_said():
    subject, pairs = linear(count=30), []
    subject.model.decoder.register_forward_hook(lambda _, args, __: pairs.append(args[0].shape[:2].numel()))
    work = Workload(subject.objective, {}, {"test": 30})
    for evaluator in (Ais(temperatures=10, chains=3, data=20), Bdmc(temperatures=10, chains=3, data=20)):
        pairs.clear()
        measure(evaluator, dataclasses.replace(subject, provides=frozenset()))
        assert sum(pairs) == evaluator.evaluations(work)


def test_figures_of_single_data_are_given_for_the_whole_split_only():
    whole, some = (measure(Ais(temperatures=3, data=data), linear()) for data in (64, 10))
    assert whole["log_likelihood", "", "ais"].per_datum.shape == (64,)
    assert some["log_likelihood", "", "ais"].per_datum is None
