"""Informativeness of hand-built posteriors, whose rate and distortion are known."""

import dataclasses
import math

import pytest
import torch

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Posterior,
    Refusal,
    Split,
    Subject,
)
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators.informativeness import Informativeness
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal

GAINS = torch.tensor([1.0, 0.5, 0.05, 0.0])


class Scaled(Posterior):
    """q(z|x) = N(gain * x, s^2): two of four units follow the data, the third hardly, the last not at all."""

    distribution = DiagonalNormal

    def forward(self, x, model):
        return DiagonalNormal(GAINS * x, torch.tensor([-1.0, -0.5, 0.0, 0.0]))


def normals(seed, count=200):
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def subject(posterior=None, prior=None, labels=True, **fields):
    """A model of 4 values from 4 latents; labels say whether the second value is positive."""
    torch.manual_seed(0)
    summary = DataSummary((4,), "real", torch.zeros(4))
    p = prior or StandardNormal(summary, 4)
    decoder = LinearGaussian(summary, p.space, noise=0.5)
    model = LatentVariableModel(p, posterior or Scaled(), decoder)
    parts = {name: normals(seed) for seed, name in enumerate(("train", "validation", "test"))}
    splits = {name: Split(x, (x[:, 1] > 0).long() if labels else None) for name, x in parts.items()}
    data = Data(splits, "real", "none", **fields)
    return Subject(model, Elbo(), {}, data, seed=0, provides=frozenset({"posterior.mean"}))


def measure(given, **options):
    return {(m.metric, m.variant): m for m in Informativeness(**options).evaluate(given)}


def true_rates(given):
    """KL(N(m, s^2) || N(0, 1)) of each unit, mean over the data."""
    q = given.model.q(given.x)
    normal = torch.distributions.Normal(q.loc, q.log_scale.exp())
    return torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean(0)


def true_distortion(given):
    """E |x - W z - b|^2 = |x - W m - b|^2 + sum_d |W_d|^2 s_d^2 for independent coordinates of z."""
    q, decoder = given.model.q(given.x), given.model.decoder
    squares = (given.x - q.loc @ decoder.weight.T - decoder.bias).square().sum(-1).mean()
    squares = squares + ((2 * q.log_scale[0]).exp() * decoder.weight.square().sum(0)).sum()
    log_scale = decoder.log_scale
    return (0.5 * squares * (-2 * log_scale).exp() + 4 * log_scale + 2 * math.log(2 * math.pi)).item()


def test_rate_and_its_units_are_those_in_closed_form():
    given = subject()
    found, expected = measure(given), true_rates(given)
    rate = found["rate", ""]
    assert rate.value == pytest.approx(expected.sum().item(), rel=1e-5)
    assert (rate.method, rate.stderr) == ("exact", 0.0)
    for unit in range(4):
        assert found["kl_per_unit", str(unit)].value == pytest.approx(
            expected[unit].item(), rel=1e-4, abs=1e-6
        )
    assert found["kl_per_unit", "3"].per_datum.shape == (200,)


def test_distortion_is_that_in_closed_form():
    """Within 4 standard errors; false-alarm rate 6e-5."""
    given = subject()
    found = measure(given)["distortion", ""]
    assert abs(found.value - true_distortion(given)) <= 4 * found.stderr
    assert 0 < found.stderr < 0.01 * found.value
    fewer = measure(given, samples=25)["distortion", ""]
    assert fewer.stderr / found.stderr == pytest.approx(2, rel=0.1)


def test_rate_is_sampled_where_no_formula_is_known():
    """A mixture of one normal has a known KL all the same: within 4 standard errors, false alarms 6e-5."""
    prior = MixturePrior(DataSummary((4,), "real", torch.zeros(4)), 4, components=1)
    prior.loc.data.zero_()
    given = subject(prior=prior)
    found = measure(given)
    rate = found["rate", ""]
    scale = prior(None).components.log_scale
    assert torch.equal(scale, torch.zeros_like(scale)), "the anchor is a standard normal"
    assert rate.method == "sampled"
    assert abs(rate.value - true_rates(given).sum().item()) <= 4 * rate.stderr
    assert 0 < rate.stderr < 0.05
    assert not [key for key in found if key[0] == "kl_per_unit"]


def test_units_need_independent_coordinates():
    found = measure(subject(posterior=Exact(None, None)))
    assert found["rate", ""].method == "exact"
    assert not [key for key in found if key[0] == "kl_per_unit"]


@pytest.mark.parametrize(("threshold", "expected"), [(0.01, 2), (1e-4, 3), (0.5, 1), (0.0, 3), (10.0, 0)])
def test_active_units_are_those_that_follow_the_data(threshold, expected):
    """Variances of about 1, 0.25, 0.0025 and 0."""
    found = measure(subject(), threshold=threshold)["active_units", ""]
    assert (found.value, found.stderr) == (expected, None)


def test_probe_reads_what_the_means_hold():
    """The label is the sign of the second mean, which a linear probe finds but near the border."""
    found = measure(subject())["probe_accuracy", ""]
    assert found.value > 0.95
    assert (found.method, found.stderr) == ("linear", None)
    assert found.per_datum.mean().item() == found.value


def test_probe_is_at_chance_on_random_labels():
    """200 labels by coin: within 4 standard errors of a half, false-alarm rate 6e-5."""
    given = subject()
    coins = torch.randint(2, (200,), generator=torch.Generator().manual_seed(5))
    splits = {name: Split(split.x, coins.roll(7 * len(name))) for name, split in given.data.splits.items()}
    found = measure(dataclasses.replace(given, data=dataclasses.replace(given.data, splits=splits)))
    assert abs(found["probe_accuracy", ""].value - 0.5) <= 4 * 0.5 / 200**0.5


def test_probe_is_fitted_on_values_as_training_visits_them():
    """A train split stored with the wrong sign: the probe is right only if each visit turns it round."""
    given = subject(visit=lambda x, noise: -x + 0 * noise.normal(x.shape))
    train = given.data.splits["train"]
    splits = {**given.data.splits, "train": Split(-train.x, train.labels)}
    turned = dataclasses.replace(given, data=dataclasses.replace(given.data, splits=splits))
    assert measure(turned)["probe_accuracy", ""].value > 0.95
    unvisited = dataclasses.replace(turned, data=dataclasses.replace(turned.data, visit=None))
    assert measure(unvisited)["probe_accuracy", ""].value < 0.05


def test_probe_can_be_fitted_on_fewer_data():
    assert measure(subject(), probe_data=20)["probe_accuracy", ""].value > 0.7


def test_what_cannot_be_had_is_left_out():
    assert ("probe_accuracy", "") not in measure(subject(labels=False))
    given = subject()
    single = {name: Split(part.x, torch.zeros(200).long()) for name, part in given.data.splits.items()}
    given = dataclasses.replace(given, data=dataclasses.replace(given.data, splits=single))
    assert ("probe_accuracy", "") not in measure(given)
    found = measure(dataclasses.replace(subject(), provides=frozenset()))
    assert {metric for metric, _ in found} == {"rate", "distortion", "kl_per_unit"}


def test_every_metric_is_declared():
    assert {metric for metric, _ in measure(subject())} == set(Informativeness.metrics)


def test_chunks_change_nothing_but_the_draws():
    """Within 4 standard errors; false-alarm rate 6e-5."""
    one, other = measure(subject(), chunk=150), measure(subject())
    error = math.hypot(one["distortion", ""].stderr, other["distortion", ""].stderr)
    assert abs(one["distortion", ""].value - other["distortion", ""].value) <= 4 * error
    for key in (("rate", ""), ("active_units", ""), ("probe_accuracy", "")):
        assert one[key].value == pytest.approx(other[key].value, rel=1e-6)


def test_values_that_are_not_finite_are_refused():
    given = subject()
    given.model.decoder.bias.data.fill_(math.nan)
    with pytest.raises(Refusal, match="distortion or its error is not finite"):
        measure(given)
