"""Informativeness of hand-built posteriors, whose rate and distortion are known."""

import dataclasses
import math

import pytest
import torch
from scipy import stats

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    MultivariateNormal,
    Posterior,
    Refusal,
    Split,
    Stream,
    Subject,
    Workload,
)
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators._probes import taught
from lvmbench_plugins.evaluators.informativeness import Informativeness
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.posteriors.exact import Exact
from lvmbench_plugins.priors.hierarchy import Hierarchy
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal

ACTIVE = ("active_units", "collapsed_units")
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
    decoder = LinearGaussian(summary, p.space.visible, noise=0.5)
    model = LatentVariableModel(p, posterior or Scaled(), decoder)
    parts = {name: normals(seed) for seed, name in enumerate(("train", "validation", "test"))}
    splits = {name: Split(x, (x[:, 1] > 0).long() if labels else None) for name, x in parts.items()}
    data = Data(splits, "real", "none", **fields)
    return Subject(
        model, Elbo(), {}, data, seed=0, provides=frozenset({"posterior.mean", "posterior.density"})
    )


def measure(given, **options):
    found = {(m.metric, m.variant, m.method): m for m in Informativeness(**options).evaluate(given)}
    return {(m.metric, m.variant): m for m in reversed(found.values())}  # of several methods, the first


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


@pytest.mark.statistical("the distortion with its closed form", "stated, of 100 draws of 200 data")
def test_distortion_is_that_in_closed_form(chance):
    given = subject()
    found = measure(given)["distortion", ""]
    chance.within(found.value, true_distortion(given), found.stderr)
    assert 0 < found.stderr < 0.01 * found.value
    fewer = measure(given, samples=25)["distortion", ""]
    assert fewer.stderr / found.stderr == pytest.approx(2, rel=0.1)


def single():
    """A mixture of one standard normal, whose KL divergence is known all the same."""
    prior = MixturePrior(DataSummary((4,), "real", torch.zeros(4)), 4, components=1)
    prior.loc.data.zero_()
    return prior


class Full(Scaled):
    """The same, of a class for which nothing is registered with mixtures."""

    distribution = MultivariateNormal

    def forward(self, x, model):
        q = super().forward(x, model)
        return MultivariateNormal(q.loc, torch.diag_embed(q.log_scale.exp()))


@pytest.mark.statistical("a sampled rate with its closed form", "stated, of 100 draws of 200 data")
def test_rate_is_sampled_where_no_formula_is_known(chance):
    given = subject(Full(), prior=single())
    found = measure(given)
    rate = found["rate", ""]
    assert rate.method == "sampled"
    chance.within(rate.value, true_rates(subject()).sum(), rate.stderr)
    assert 0 < rate.stderr < 0.05
    assert not [key for key in found if key[0] == "kl_per_unit"]


def test_the_rate_takes_the_registered_terms_of_draws():
    """With one component they have no variance; with several, it is held to its law with all other errors."""
    rate = measure(subject(prior=single()))["rate", ""]
    assert rate.value == pytest.approx(true_rates(subject()).sum().item(), rel=1e-5)
    assert rate.stderr < 1e-6


def test_units_need_independent_coordinates():
    found = measure(subject(posterior=Exact(None, None)))
    assert found["rate", ""].method == "exact"
    assert not [key for key in found if key[0] == "kl_per_unit"]


@pytest.mark.parametrize(("threshold", "expected"), [(0.01, 2), (1e-4, 3), (0.5, 1), (0.0, 3), (10.0, 0)])
def test_active_units_are_those_that_follow_the_data(threshold, expected):
    """Variances of about 1, 0.25, 0.0025 and 0."""
    found = measure(subject(), threshold=threshold)["active_units", ""]
    assert (found.value, found.stderr) == (expected, None)


def test_active_units_are_found_from_samples_where_there_is_no_mean():
    """The mean of 100 samples of the last unit, N(0, 1) for every datum, has the variance 0.01 as well,
    which is taken off: that of what is left is (sqrt(2 / N) + sqrt(2 / (N S))) / S, 1e-3.
    """
    given = dataclasses.replace(subject(), provides=frozenset({"posterior.density"}))
    for threshold, expected in ((0.01, 2), (0.5, 1), (10.0, 0)):
        assert measure(given, threshold=threshold)["active_units", ""].value == expected


def test_active_units_are_counted_by_layer():
    hierarchy = Hierarchy(DataSummary((4,), "real", torch.zeros(4)), 4, layers="1 3")
    given = subject(prior=hierarchy)
    found = measure(given, threshold=0.1)
    assert [found["active_units", f"layer/{layer}"].value for layer in (1, 2)] == [1, 1]


@pytest.mark.parametrize("metric", ["rate", "mutual_information", "marginal_kl"])
def test_some_data_are_the_same_for_each_figure(metric):
    """A part of the data has figures of its own, which are not given for each datum of the split."""
    some = measure(subject(), data=50)
    assert some["mutual_information_cap", ""].value == pytest.approx(math.log(50))
    assert some[metric, ""].per_datum is None
    assert some[metric, ""].value != measure(subject())[metric, ""].value


def test_probe_reads_what_the_means_hold():
    """The label is the sign of the second mean, which a linear probe finds but near the border."""
    found = measure(subject())["probe_accuracy", ""]
    assert found.value > 0.95
    assert (found.method, found.stderr) == ("linear", None)
    assert found.per_datum.mean().item() == found.value


@pytest.mark.statistical("the accuracy on 200 labels by coin", "exact, binomial")
def test_probe_is_at_chance_on_random_labels(chance):
    given, noise = subject(), Stream.seeded(5, "coins")
    splits = {n: Split(s.x, (noise.uniform((200,)) < 0.5).long()) for n, s in given.data.splits.items()}
    found = measure(dataclasses.replace(given, data=dataclasses.replace(given.data, splits=splits)))
    right = round(200 * found["probe_accuracy", ""].value)
    chance.likely(stats.binomtest(right, 200, 0.5).pvalue)


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


@pytest.mark.parametrize(
    ("split", "labels"),
    [
        ("train", torch.zeros(200)),
        ("test", torch.zeros(200)),
        ("test", torch.arange(200)),
        ("test", torch.arange(200) // 199),
    ],
)
def test_labels_that_tell_nothing_apart_have_no_probe(split, labels):
    """One class, every label its own, one datum of another class: accuracy would be 1 or 0 for nothing."""
    given = subject()
    part = Split(given.data.splits[split].x, labels.long())
    data = dataclasses.replace(given.data, splits={**given.data.splits, split: part})
    found = measure(dataclasses.replace(given, data=data), samples=2)
    assert not [metric for metric, _ in found if metric.startswith("probe")]


def test_chance_of_a_probe_is_the_share_of_the_commonest_label():
    given = subject()
    labels = torch.tensor([0] * 150 + [1] * 50)
    data = dataclasses.replace(
        given.data, splits={n: Split(s.x, labels) for n, s in given.data.splits.items()}
    )
    assert measure(dataclasses.replace(given, data=data), samples=2)["probe_chance", ""].value == 0.75


def test_what_cannot_be_had_is_left_out():
    assert ("probe_accuracy", "") not in measure(subject(labels=False))
    given = subject()
    single = {name: Split(part.x, torch.zeros(200).long()) for name, part in given.data.splits.items()}
    given = dataclasses.replace(given, data=dataclasses.replace(given.data, splits=single))
    assert ("probe_accuracy", "") not in measure(given)
    found = measure(dataclasses.replace(subject(), provides=frozenset()))
    assert {metric for metric, _ in found} == {"rate", "distortion", "kl_per_unit", *ACTIVE}


def test_every_metric_is_declared():
    found = {metric for metric, _ in measure(subject())}
    assert found == set(Informativeness.metrics) - {"rate_lower"}  # which is for densities that are estimated


@pytest.mark.statistical("distortions of two chunkings", "stated, of 100 draws of 200 data")
def test_chunks_change_nothing_but_the_draws(chance):
    one, other = measure(subject(), chunk=150), measure(subject())
    error = math.hypot(one["distortion", ""].stderr, other["distortion", ""].stderr)
    chance.within(one["distortion", ""].value, other["distortion", ""].value, error)
    for key in (("rate", ""), ("active_units", ""), ("probe_accuracy", "")):
        assert one[key].value == pytest.approx(other[key].value, rel=1e-6)


def test_values_that_are_not_finite_are_refused():
    given = subject()
    given.model.decoder.bias.data.fill_(math.nan)
    with pytest.raises(Refusal, match="distortion or its error is not finite"):
        measure(given)


class Channel(Posterior):
    """q(z|x) = N(x, 1 / snr) in each coordinate."""

    distribution = DiagonalNormal

    def __init__(self, snr):
        super().__init__()
        self.log_scale = torch.tensor(-0.5 * math.log(snr))

    def forward(self, x, model):
        return DiagonalNormal(x, self.log_scale)


def channel(snr, count=2000, prior=None):
    """One standard normal value through a Gaussian channel.

    The data are quantiles, so that none is by lot.
    """
    summary = DataSummary((1,), "real", torch.zeros(1))
    p = StandardNormal(summary, 1)
    model = LatentVariableModel(p, Channel(snr), LinearGaussian(summary, p.space))
    x = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count).float().unsqueeze(1)
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(x)), "real", "none")
    return Subject(model, Elbo(), {}, data, seed=0, provides=frozenset({"posterior.density"}))


@pytest.mark.parametrize("snr", [5.0, 20.0, 100.0])
@pytest.mark.statistical("information with that of a Gaussian channel", "stated, of the draws")
def test_information_below_the_cap_is_that_of_the_channel(snr, proof, chance):
    """I = log(1 + snr) / 2, here 0.9 to 2.3 nats under a cap of 6.9,
    to which 1,000 quantiles come within 1%.
    """
    found, truth = measure(channel(snr, count=1000), pairs=20_000_000), 0.5 * math.log1p(snr)
    information = found["mutual_information", ""]
    assert 0 < information.stderr < 0.0067 * truth
    against, allowed = f"Gaussian channel of snr {snr:g}, cap 6.9", chance.allowed(information.stderr)
    proof("mutual information", against, information.value, truth, 0.01 * truth + allowed)
    assert found["mutual_information_upper", ""].value > information.value
    assert found["mutual_information_capped", ""].value == 0
    assert found["mutual_information_cap", ""].value == pytest.approx(math.log(1000))


@pytest.mark.statistical("information with that of a Gaussian channel", "stated, of the draws")
def test_information_near_the_cap_is_a_lower_bound(chance):
    """I = 4.0 nats of 7.6: still within 1%, and the upper bound is above."""
    found, truth = measure(channel(3000.0), pairs=8_000_000), 0.5 * math.log1p(3000)
    information = found["mutual_information", ""]
    chance.within(information.value, truth, information.stderr, slack=0.01 * truth)
    assert found["mutual_information_upper", ""].value > truth


def test_information_above_the_cap_says_so(proof):
    """I = 9.2 nats is more than 1,000 data can tell: log 1,000 = 6.9."""
    found = measure(channel(1e8, count=1000))
    assert found["mutual_information", ""].value <= math.log(1000) + 1e-5
    assert found["mutual_information", ""].value < 0.5 * math.log1p(1e8) - 2
    capped = found["mutual_information_capped", ""].value
    proof(
        "mutual information",
        "a channel of 9.2 nats, above the cap of 6.9: says that it binds",
        capped,
        1.0,
        0.0,
    )


@pytest.mark.statistical("the marginal KL divergence with its closed form", "stated, of the draws")
def test_information_and_marginal_kl_make_up_the_rate(chance):
    """q(z) = N(0, 1 + 1 / snr) for the quantiles' limit, whose KL is known; the sum is exact."""
    found = measure(channel(4.0), pairs=40_000_000)
    whole = found["mutual_information", ""].value + found["marginal_kl", ""].value
    assert whole == pytest.approx(found["rate", ""].value, abs=1e-5)
    truth = 0.5 * (1.25 - 1 - math.log(1.25))
    marginal = found["marginal_kl", ""]
    chance.within(marginal.value, truth, marginal.stderr, slack=2e-3)  # 2,000 quantiles are not quite normal


def test_a_collapsed_posterior_tells_nothing():
    given = subject()
    given.model.posterior.forward = lambda x, model: DiagonalNormal(0 * x, torch.zeros(4))
    found = measure(given)
    assert found["mutual_information", ""].value == pytest.approx(0, abs=1e-5)
    assert found["mutual_information_capped", ""].value == 0
    assert found["collapsed_units", ""].value == 1


@pytest.mark.statistical("information of two chunkings", "stated, of the draws of 200 data")
def test_information_does_not_depend_on_the_chunk_of_the_encoder(chance):
    one, other = (measure(subject(), chunk=chunk)["mutual_information", ""] for chunk in (70, 16384))
    chance.within(one.value, other.value, math.hypot(one.stderr, other.stderr))


def test_strength_and_neighbours_are_chosen():
    given = subject()
    found = {(m.metric, m.method): m for m in Informativeness().evaluate(given)}
    assert found["probe_strength", "linear"].value in (0.01, 1, 100)
    assert found["probe_strength", "knn"].value in (1, 3, 10, 30)
    assert found["probe_accuracy", "knn"].value > 0.85


def test_little_strength_is_chosen_for_labels_that_say_nothing():
    """One vote decides by noise, so that more neighbours are right more often where 9
    of 10 labels are equal.
    """
    z = normals(0, 300).double().numpy()
    labels = (torch.arange(300) % 10 == 0).long().numpy()
    chosen = {method: strength for method, (_, strength) in taught(z, labels).items()}
    assert chosen["knn"] >= 10
    assert chosen["linear"] <= 1


def test_a_label_of_one_datum_leaves_the_strength_unchosen():
    given = subject()
    splits = {name: Split(s.x, s.labels.clone()) for name, s in given.data.splits.items()}
    splits["train"].labels[0] = 7
    found = Informativeness().evaluate(
        dataclasses.replace(given, data=dataclasses.replace(given.data, splits=splits))
    )
    strengths = {m.method: m.value for m in found if m.metric == "probe_strength"}
    assert strengths == {"linear": 1, "knn": 1}


@pytest.mark.statistical(
    "information by half of the data with that by all", "stated, of choice and draws", comparisons=3
)
def test_information_by_some_of_the_data_is_that_of_the_split(chance):
    given = channel(20.0, count=400)
    every, some = measure(given, pairs=16_000_000), measure(given, pairs=160_000)
    for metric in ("mutual_information", "mutual_information_upper", "marginal_kl"):
        one, other = some[metric, ""], every[metric, ""]
        chance.within(one.value, other.value, math.hypot(one.stderr, other.stderr), freedom=199)
        assert one.per_datum is None
    assert some["mutual_information_cap", ""].value == pytest.approx(math.log(400))


def test_large_splits_have_fewer_samples_of_each():
    evaluator = Informativeness()
    work = Workload(Elbo(), {}, {"test": 10_000}, provides=frozenset({"posterior.density"}))
    assert (evaluator.evaluations(work), evaluator.densities(work)) == (100_000, 500_000)
