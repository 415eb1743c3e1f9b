"""Clustering of latent means that are placed by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, silhouette_samples

from lvmbench import (
    Data,
    DataSummary,
    DiagonalNormal,
    LatentVariableModel,
    Posterior,
    Refusal,
    Split,
    Stream,
    Subject,
)
from lvmbench_plugins.decoders.linear_gaussian import LinearGaussian
from lvmbench_plugins.evaluators._clusters import silhouettes
from lvmbench_plugins.evaluators.clustering import Clustering
from lvmbench_plugins.objectives.elbo import Elbo
from lvmbench_plugins.priors.mixture import MixturePrior
from lvmbench_plugins.priors.standard_normal import StandardNormal

METHODS = ["kmeans", "gmm_diagonal", "gmm_full"]
CORNERS = torch.tensor([[10.0, 0.0], [-10.0, 0.0], [0.0, 10.0], [0.0, -10.0]])


class Identity(Posterior):
    """q(z|x) = N(x, 1)."""

    distribution = DiagonalNormal

    def forward(self, x, model):
        return DiagonalNormal(x, torch.zeros(2))


def measure(means, labels, seed=0, method="kmeans", **options):
    """The scores of one method, by metric."""
    found = every(means, labels, seed, **options)
    return {m.metric: m for m in found if m.method == method and not m.variant}


def every(means, labels, seed=0, prior=None, **options):
    summary = DataSummary((2,), "real", torch.zeros(2))
    provides = {"prior.components"} if prior else set()
    prior = prior or StandardNormal(summary, 2)
    model = LatentVariableModel(prior, Identity(), LinearGaussian(summary, prior.space))
    data = Data(dict.fromkeys(("train", "validation", "test"), Split(means, labels)), "real", "none")
    subject = Subject(model, Elbo(), {}, data, seed=seed, provides=frozenset(provides))
    return list(Clustering(**options).evaluate(subject))


def blobs(count=100, sizes=(1, 1, 1, 1)):
    """Four groups of unit spread, 14 apart or more, of ``count`` points times their size, and the groups."""
    group = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes) * count)
    return CORNERS[group] + torch.randn(len(group), 2, generator=torch.Generator().manual_seed(0)), group


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("names", [(0, 1, 2, 3), (2, 0, 3, 1), (7, 11, 40, 3)])
def test_separate_groups_score_1_whatever_their_names(names, method, proof):
    means, group = blobs()
    found = measure(means, torch.tensor(names)[group], method=method)
    for metric in ("nmi", "ami", "ari", "cluster_accuracy", "many_to_one_accuracy"):
        proof(metric, f"separate groups under any names, {method}", found[metric].value, 1.0, 1e-6)
    assert 0.8 < found["silhouette"].value < 1
    assert all(m.stderr is None for m in found.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.statistical(
    "adjusted scores of 2,000 labels by lot with 0", "of 100 other labels by lot", comparisons=2
)
def test_random_labels_score_0(method, proof, chance):
    """The scores are centred at 0, of the skewness of chi-squared with 9 degrees,
    which Student's t with as many covers.

    By Hoeffding and a union over the 24 matchings, the accuracy exceeds 0.25 by 0.09 with a probability below
    1e-12.
    """
    means, group = blobs(500)
    labels = Stream.seeded(3, "labels").uniform((101, len(group))).mul(4).long()
    found = measure(means, labels[0], method=method)
    for metric, score in (("ari", adjusted_rand_score), ("ami", adjusted_mutual_info_score)):
        spread = torch.tensor([score(group, other) for other in labels[1:]]).std().item()
        allowed = chance.allowed(spread, freedom=9)
        proof(metric, f"random labels, {method}", found[metric].value, 0.0, allowed)
    assert found["cluster_accuracy"].value < 0.34


@pytest.mark.parametrize("method", ["kmeans"])
def test_constant_means_score_0(method):
    """A collapsed posterior: every point in one cluster, matched to the largest class."""
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    found = measure(torch.full((10, 2), 0.3), labels, method=method)
    assert found["ari"].value == pytest.approx(0, abs=1e-9)
    assert found["ami"].value == pytest.approx(0, abs=1e-9)
    assert found["nmi"].value == pytest.approx(0, abs=1e-9)
    assert found["cluster_accuracy"].value == 0.5
    assert "silhouette" not in found


@pytest.mark.parametrize("spread", [1e-30, 1e-7, 1e18])
def test_any_spread_gives_finite_scores(spread):
    found = every(spread * torch.randn(40, 2), torch.arange(40) % 4)
    assert all(math.isfinite(m.value) for m in found)
    assert {m.method for m in found} == set(METHODS)


def test_accuracy_gives_each_cluster_a_class_of_its_own():
    """Four clusters and two classes: the two larger clusters count, the points of the others do not."""
    means, group = blobs(20, sizes=(1, 2, 3, 4))
    found = measure(means, group % 2, clusters=4)
    assert found["cluster_accuracy"].value == pytest.approx((3 + 4) / 10)
    assert found["cluster_accuracy"].per_datum.sum() == 140
    fewer = measure(means, group, clusters=2)["cluster_accuracy"].value
    assert fewer <= (3 + 4) / 10 + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_one_cluster_scores_0(method, proof):
    means, group = blobs()
    found = measure(means, group, clusters=1, method=method)
    assert "silhouette" not in found
    for metric in ("nmi", "ami", "ari"):
        proof(metric, f"one cluster, {method}", found[metric].value, 0.0, 1e-9)
    assert found["cluster_accuracy"].value == found["many_to_one_accuracy"].value == 0.25


def test_many_clusters_may_stand_for_one_label():
    """Four clusters and two classes: all points count, which the matched accuracy does not allow."""
    means, group = blobs(20, sizes=(1, 2, 3, 4))
    found = measure(means, group % 2, clusters=4)
    assert found["many_to_one_accuracy"].value == 1
    assert found["many_to_one_accuracy"].per_datum.shape == (200,)


def test_the_mixtures_follow_the_shape_of_the_clusters():
    """Two strips of length 10 that are 4.4 apart: k-means loses least by cutting across both.

    Each coordinate is alone within a strip, so that independent coordinates are enough until they are turned.
    """
    side = torch.tensor([-2.2, 2.2]).repeat_interleave(200)
    jitter = 0.3 * torch.randn(400, generator=torch.Generator().manual_seed(0))
    means = torch.stack([torch.linspace(-5, 5, 200).repeat(2), side + jitter], 1)
    turned, labels = means @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]]), (side > 0).long()
    assert measure(means, labels, starts=20)["ari"].value < 0.1
    assert measure(means, labels, method="gmm_diagonal", starts=20)["ari"].value == 1
    assert measure(turned, labels, method="gmm_full", starts=20)["ari"].value == 1


def test_the_priors_own_components_are_clusters():
    """Components at the corners find the groups; two of them find two."""
    means, group = blobs(20)
    prior = MixturePrior(DataSummary((2,), "real", torch.zeros(2)), 2, components=4)
    prior.loc.data.copy_(CORNERS)
    found = {m.metric: m for m in every(means, group, prior=prior) if m.method == "prior"}
    assert found["ari"].value == found["cluster_accuracy"].value == 1
    assert "start_spread" not in found
    prior.logits.data.copy_(torch.tensor([0.0, 0.0, -1e4, -1e4]))
    found = {m.metric: m for m in every(means, group, prior=prior) if m.method == "prior"}
    assert found["cluster_accuracy"].value == 0.5


def test_the_spread_is_that_of_the_starts():
    means, labels = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)), torch.arange(100) % 5
    (spread,) = (m for m in every(means, labels, starts=4) if (m.variant, m.method) == ("ari", "kmeans"))
    assert spread.metric == "start_spread"
    assert 0 < spread.value < 0.1
    assert not [m for m in every(means, labels, starts=1) if m.metric == "start_spread"]
    means, group = blobs()
    steady = [m for m in every(means, group, starts=3) if (m.variant, m.method) == ("ari", "gmm_full")]
    assert len(steady) == 1


def test_missing_labels_are_refused():
    with pytest.raises(Refusal, match="the test split has no labels"):
        measure(torch.randn(10, 2), None)


PLACE = torch.arange(24)


@pytest.mark.parametrize(
    ("labels", "due"),
    [
        (torch.zeros(24, dtype=torch.long), "has 0|1, with 1 different labels of 24 data"),
        (PLACE, "has 0, with 24 different labels of 24 data"),
        (PLACE // 23, "has 1, with 2 different labels of 24 data"),
        (PLACE.clamp(max=22), "has 1, with 23 different labels of 24 data"),
    ],
    ids=["one class", "every label its own", "one datum of the other class", "one pair"],
)
def test_labels_that_tell_nothing_apart_are_refused(labels, due):
    """Clusters that know nothing agree with these, or with all of them but one, whatever the means are."""
    due = f"needs two classes of two data or more; the test split {due}: measure a larger split"
    with pytest.raises(Refusal, match=due):
        measure(torch.randn(24, 2), labels)


def test_two_data_of_a_class_are_enough_to_be_found():
    means, group = blobs(2, sizes=(11, 1, 0, 0))
    assert measure(means, group)["ari"].value == 1


@pytest.mark.statistical(
    "scores of noise with those said to be of chance", "of eight sets of noise", comparisons=3
)
def test_chance_is_what_clusters_that_know_nothing_score(chance):
    """Nearly every label its own: NMI and the majority's accuracy are near 1 for noise, and so is chance."""
    labels = torch.cat([torch.arange(36), torch.tensor([0, 0, 1, 1])])
    noise = Stream.seeded(0, "noise")
    runs = [every(noise.normal((40, 2)), labels, starts=1) for _ in range(8)]
    for method in METHODS:
        scores = [{m.metric: m.value for m in run if m.method == method} for run in runs]
        said = [
            {m.variant: m.value for m in run if (m.method, m.metric) == (method, "chance")} for run in runs
        ]
        names = ["nmi", "cluster_accuracy", "many_to_one_accuracy"]
        assert all(set(each) == set(names) and each["nmi"] > 0.9 for each in said)
        off = [[score[n] - each[n] for n in names] for score, each in zip(scores, said, strict=True)]
        chance.agrees(off, slack=1e-6)


def test_chance_of_one_large_class_is_its_share():
    """400 data and 10: the ten are the majority of their cluster where six of them or more stay in it.

    In 20 shuffles that has a probability of 1.3e-7 (hypergeometric).
    """
    means, group = blobs(10, sizes=(40, 1, 0, 0))
    chance = {m.variant: m for m in every(means, group) if m.metric == "chance" and m.method == "kmeans"}
    assert chance["many_to_one_accuracy"].value == pytest.approx(400 / 410, abs=1e-9)
    assert measure(means, group)["cluster_accuracy"].value == 1


def test_silhouette_is_the_definition():
    """Two pairs of points: within a pair 2 apart, the others 10 and more."""
    means = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]])
    found = measure(means, torch.tensor([0, 0, 1, 1]))["silhouette"]
    other = (10 + math.hypot(10, 2)) / 2
    assert found.value == pytest.approx(1 - 2 / other)
    assert found.per_datum.shape == (4,)


def test_more_clusters_than_points_are_refused():
    """As many would be a cluster for each, whose majority is always right."""
    with pytest.raises(Refusal, match="8 clusters need more points than that; the test split has 8"):
        measure(*blobs(2), clusters=8)


def test_means_that_are_not_finite_are_refused(monkeypatch):
    lost = lambda self, x, model: DiagonalNormal(x * math.nan, torch.zeros(2))
    monkeypatch.setattr(Identity, "forward", lost)
    with pytest.raises(Refusal, match="means are not finite"):
        measure(torch.randn(10, 2), torch.arange(10) % 2)


def test_same_seed_same_clusters():
    means, labels = torch.randn(100, 2), torch.arange(100) % 5
    one, other = (measure(means, labels, starts=1) for _ in range(2))
    assert {name: m.value for name, m in one.items()} == {name: m.value for name, m in other.items()}
    ari = {round(measure(means, labels, seed=seed, starts=1)["ari"].value, 9) for seed in range(10)}
    assert len(ari) > 1, "the seed must reach k-means"


def test_needs_labels_and_means():
    assert Clustering().requires == {"dataset.labels", "posterior.mean", "prior.fixed"}
    assert {m.metric for m in every(*blobs())} == set(Clustering.metrics)


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_silhouette_is_that_of_scikit_learn(shift):
    """Of groups that meet, one of a single point, and of some points alone."""
    z = shift + torch.randn(300, 3, generator=torch.Generator().manual_seed(0)).double().numpy()
    found = (z[:, 0] > shift).astype(int) + (z[:, 1] > shift + 1)
    found[7] = 9
    every = silhouettes(z, found, np.arange(300))
    np.testing.assert_allclose(every, silhouette_samples(z, found), atol=1e-6)
    np.testing.assert_allclose(silhouettes(z, found, np.array([7, 20, 4])), every[[7, 20, 4]])


def test_silhouette_of_equal_points_is_0():
    found = np.array([0, 0, 1, 1])
    assert (silhouettes(np.ones((4, 2)), found, np.arange(4)) == 0).all()


@pytest.mark.statistical(
    "the silhouette of 100 points with that of 400",
    "stated, of the choice; Student's t with 14 degrees covers the skewness",
)
def test_silhouette_of_some_points_is_that_of_all_within_its_error(chance):
    """The silhouettes of these points have a skewness of -2.4: of 19 million choices of 100 of them, one in a
    million is off by more than 7.7 stated errors, which Student's t with 14 degrees covers.
    """
    means, group = blobs()
    some, every = measure(means, group, compared=100)["silhouette"], measure(means, group)["silhouette"]
    chance.within(some.value, every.value, some.stderr, freedom=14)
    assert (some.per_datum, every.stderr) == (None, None)
